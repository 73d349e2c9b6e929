"""JSON patch (RFC 6902): `application/json-patch+json`."""

from typing import Any

import jsonpatch
import jsonpointer

from sandbox.apiserver import statuses
from sandbox.apiserver.objects import JsonObject, copy_json


def json_patch(target: JsonObject, operations: Any, group: str, kind: str, name: str) -> JsonObject:
    """The target after the operations. A failing `test` or a missing path is 422, as the real server answers."""
    if not isinstance(operations, list):
        raise statuses.bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        patched = jsonpatch.JsonPatch(operations).apply(copy_json(target))
    except jsonpatch.JsonPatchTestFailed as failure:
        raise _unprocessable(group, kind, name, f"testing value failed: {failure}") from failure
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as failure:
        raise _unprocessable(group, kind, name, str(failure)) from failure
    if not isinstance(patched, dict):
        raise statuses.bad_request("the patch does not leave an object")
    return patched


def _unprocessable(group: str, kind: str, name: str, why: str) -> statuses.ApiError:
    details: JsonObject = {"name": name, "group": group, "kind": kind}
    message = f"the server rejected our request due to an error in our request: {why}"
    return statuses.ApiError(422, "Invalid", message, details)
