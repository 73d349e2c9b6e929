"""scale: the number of replicas, read and written as an autoscaling/v1 Scale whatever the kind."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.objects import JsonObject, copy_json, name_of
from sandbox.apiserver.patches.json import json_patch
from sandbox.apiserver.patches.merge import merge_patch
from sandbox.apiserver.registry import ScalePaths
from sandbox.apiserver.rules.paths import part, value_at
from sandbox.apiserver.schema import ErrorKind, FieldError
from sandbox.apiserver.selectors import selector_text
from sandbox.apiserver.versions import from_storage

_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json")
"""A Scale has no lists, so that a strategic patch of it is a merge patch."""
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


async def read_scale(call: Call) -> web.Response:
    """GET of a scale."""
    resource, version = call.target()
    entry = call.plane.store.entry(call.write_request(resource, version).key())
    if entry is None:
        raise statuses.not_found(resource.group, resource.plural, call.info.name)
    return call.respond(_scale_of(from_storage(resource, version.name, entry.document), _paths(call)))


async def replace_scale(call: Call) -> web.Response:
    """PUT of a scale."""
    body = await call.body()
    return await _write(call, lambda _: body)


async def patch_scale(call: Call) -> web.Response:
    """PATCH of a scale, by the media type of the body."""
    body = await call.body(_JSON_PATCH, *_MERGE_PATCHES)
    if call.http.content_type == _JSON_PATCH:
        return await _write(call, lambda scale: json_patch(scale, body))
    if not isinstance(body, dict):
        raise statuses.bad_request("a patch of this media type must be an object")
    return await _write(call, lambda scale: merge_patch(scale, body))


async def _write(call: Call, wanted: Callable[[JsonObject], Any]) -> web.Response:
    resource, version = call.target()
    paths = _paths(call)

    def scaled(current: JsonObject) -> JsonObject:
        scale = _checked(call, wanted(_scale_of(current, paths)))
        item: JsonObject = copy_json(current)
        *parents, last = paths.spec.split(".")
        holder = item
        for name in parents:
            holder = part(holder, name)
        holder[last] = value_at(scale, "spec.replicas") or 0
        # Without one the scale is for whatever state the object is in.
        item["metadata"]["resourceVersion"] = value_at(scale, "metadata.resourceVersion")
        return item

    written = await call.plane.writer.patch(call.write_request(resource, version), scaled)
    return call.respond(_scale_of(written.item, paths))


def _checked(call: Call, scale: Any) -> JsonObject:
    if not isinstance(scale, dict) or scale.get("kind") != "Scale":
        raise statuses.bad_request("expected an object of kind Scale in autoscaling/v1")
    if name_of(scale) != call.info.name:
        message = f"the name of the object ({name_of(scale)}) does not match the name on the URL ({call.info.name})"
        raise statuses.bad_request(message)
    replicas = value_at(scale, "spec.replicas") or 0
    if not isinstance(replicas, int):
        raise statuses.bad_request('Scale in version "v1" cannot be handled as a Scale: spec.replicas is no number')
    if replicas < 0:
        error = FieldError("spec.replicas", ErrorKind.INVALID, replicas, "must be greater than or equal to 0")
        raise statuses.invalid("autoscaling", "Scale", call.info.name, [error])
    return scale


def _paths(call: Call) -> ScalePaths:
    _, version = call.target()
    if version.scale is None:
        raise statuses.no_such_resource()
    return version.scale


def _scale_of(item: JsonObject, paths: ScalePaths) -> JsonObject:
    replicas = value_at(item, paths.spec)
    if replicas is None:
        raise statuses.internal(f'the spec replicas field ".{paths.spec}" does not exist')
    selector = value_at(item, paths.selector) if paths.selector else None
    text = selector_text(selector) if isinstance(selector, dict) else selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: item["metadata"][name] for name in _METADATA if name in item["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": value_at(item, paths.status) or 0} | ({"selector": text} if text else {}),
    }
