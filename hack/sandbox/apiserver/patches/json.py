"""JSON patch (RFC 6902): `application/json-patch+json`."""

from typing import Any

import jsonpatch
import jsonpointer

from sandbox.apiserver import statuses
from sandbox.apiserver.objects import JsonObject, copy_json


def json_patch(target: JsonObject, operations: Any) -> JsonObject:
    """The target after the operations. A failing `test` or a missing path is 422, and the answer does not say which."""
    if not isinstance(operations, list):
        raise statuses.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        patched = jsonpatch.JsonPatch(operations).apply(copy_json(target))
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as failure:
        message = "the server rejected our request due to an error in our request"
        raise statuses.ApiError(422, "Invalid", message, {}) from failure
    if not isinstance(patched, dict):
        raise statuses.bad_request("the patch does not leave an object")
    return patched
