"""create, update, patch, delete and deletecollection."""

from dataclasses import replace
from typing import Any

from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.crds import is_terminating
from sandbox.apiserver.deletions import read_options
from sandbox.apiserver.handlers.lists import select
from sandbox.apiserver.objects import JsonObject, name_of
from sandbox.apiserver.patches.apply import apply_patch
from sandbox.apiserver.patches.json import json_patch
from sandbox.apiserver.patches.managed_fields import Writer
from sandbox.apiserver.patches.merge import merge_patch
from sandbox.apiserver.patches.strategic import strategic_merge_patch
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.versions import from_storage
from sandbox.apiserver.writer import Change, Written

_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_STRATEGIC_PATCH = "application/strategic-merge-patch+json"
_APPLY_PATCHES = ("application/apply-patch+yaml", "application/apply-patch")


async def create_object(call: Call) -> web.Response:
    """POST to a collection."""
    resource, version = call.target()
    if resource.custom and is_terminating(call.plane.store, resource):
        message = "create not allowed while custom resource definition is terminating"
        raise statuses.ApiError(405, "MethodNotAllowed", message, {})
    written = await call.plane.writer.create(call.write_request(resource, version), await call.body())
    return call.respond(written.item, 201)


async def replace_object(call: Call) -> web.Response:
    """PUT of an object or of its status."""
    resource, version = call.target()
    written = await call.plane.writer.replace(call.write_request(resource, version), await call.body())
    return call.respond(written.item)


async def patch_object(call: Call) -> web.Response:
    """PATCH of an object or of its status, by the media type of the body."""
    resource, version = call.target()
    request = call.write_request(resource, version)
    media = call.http.content_type
    strategic = () if resource.custom else (_STRATEGIC_PATCH,)
    body = await call.body(_JSON_PATCH, _MERGE_PATCH, *_APPLY_PATCHES, *strategic)
    if media in _APPLY_PATCHES:
        written = await _apply(call, request, body)
    else:
        written = await call.plane.writer.patch(request, _change(request, media, body))
    return call.respond(written.item, 201 if written.created else 200)


def _change(request: WriteRequest, media: str, body: Any) -> Change:
    if media == _JSON_PATCH:
        return lambda current: json_patch(current, body)
    if not isinstance(body, dict):
        raise statuses.bad_request("a patch of this media type must be an object")
    if media == _MERGE_PATCH:
        return lambda current: merge_patch(current, body)
    return lambda current: strategic_merge_patch(current, body, request.version.field_type)


async def _apply(call: Call, request: WriteRequest, body: Any) -> Written:
    if not call.http.query.get("fieldManager"):
        message = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
        raise statuses.ApiError(422, "Invalid", message)
    if not isinstance(body, dict):
        raise statuses.bad_request("error decoding YAML: the configuration must be an object")
    _check_configuration(request, body)
    writer = Writer(request.manager, "Apply", request.api_version, request.subresource)
    force = call.flag("force")

    def applied(current: JsonObject) -> JsonObject:
        return apply_patch(current, body, request.version.field_type, writer, force=force, now=call.now)

    if call.plane.store.entry(request.key()) is None:
        if request.subresource:
            raise statuses.not_found(request.group, request.plural, request.name)
        empty = {"apiVersion": request.api_version, "kind": request.resource.kind, "metadata": {}}
        return await call.plane.writer.create(request, applied(empty), owned=True)
    return await call.plane.writer.patch(request, applied, owned=True)


def _check_configuration(request: WriteRequest, body: JsonObject) -> None:
    if (body.get("metadata") or {}).get("managedFields"):
        raise statuses.bad_request("metadata.managedFields must be nil")
    for name, expected in (("apiVersion", request.api_version), ("kind", request.resource.kind)):
        if body.get(name) != expected:
            raise statuses.bad_request(f"the configuration's {name} must be {expected}, found {body.get(name)}")
    metadata = body.setdefault("metadata", {})
    if metadata.setdefault("name", request.name) != request.name:
        message = f"the name of the object ({name_of(body)}) does not match the name on the URL ({request.name})"
        raise statuses.bad_request(message)
    if request.resource.namespaced:
        metadata.setdefault("namespace", request.namespace)


async def delete_object(call: Call) -> web.Response:
    """DELETE of an object."""
    resource, version = call.target()
    options = read_options(await call.body(), call.query)
    request = call.write_request(resource, version)
    return call.respond(await call.plane.deleter.delete(_dry(request, await call.body()), options))


def _dry(request: WriteRequest, body: Any) -> WriteRequest:
    """Deletes may say dryRun in their body."""
    return replace(request, dry_run=True) if isinstance(body, dict) and body.get("dryRun") == ["All"] else request


async def delete_collection(call: Call) -> web.Response:
    """DELETE of a collection; answers with what was selected."""
    resource, version = call.target()
    body = await call.body()
    request = _dry(call.write_request(resource, version), body)
    entries = select(call, resource, version)
    await call.plane.deleter.delete_collection(request, entries, read_options(body, call.query))
    items = [from_storage(resource, version.name, entry.document) for entry in entries]
    metadata = {"resourceVersion": str(call.plane.store.revision)}
    head = {"kind": resource.list_kind, "apiVersion": resource.api_version(version.name), "metadata": metadata}
    return call.respond({**head, "items": items})
