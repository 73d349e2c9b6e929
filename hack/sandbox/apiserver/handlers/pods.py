"""Subresources of pods: the log, read from the node's kubelet, and the binding to a node."""

from typing import Any

import aiohttp
from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.handlers.lists import find
from sandbox.apiserver.objects import JsonObject, copy_json
from sandbox.apiserver.rules.paths import value_at

_SCHEME_ANNOTATION = "sandbox.safehold.dev/kubelet-scheme"
_CHUNK_BYTES = 64 << 10


async def read_log(call: Call) -> web.StreamResponse:
    """Stream a container's log from the kubelet of the pod's node."""
    resource, _ = call.target()
    pod = find(call, resource).document
    container = container_of(pod, call.http.query.get("container", ""))
    url = kubelet_url(call, pod) + f"/containerLogs/{call.info.namespace}/{call.info.name}/{container}"
    parameters = [(name, value) for name, value in call.http.query.items() if name != "container"]
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, params=parameters, ssl=False, timeout=aiohttp.ClientTimeout(total=None)) as upstream,
        ):
            return await _relay(call, upstream)
    except aiohttp.ClientConnectionError as failure:
        raise statuses.internal(f'Get "{url}": {failure}') from failure


async def _relay(call: Call, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    if upstream.status != 200:
        raise statuses.ApiError(upstream.status, "BadRequest", (await upstream.text()).strip())
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(call.http)
    try:
        async for chunk in upstream.content.iter_chunked(_CHUNK_BYTES):
            await response.write(chunk)
    except ConnectionError:
        # The reader of the log has left; the kubelet's stream is closed with the session.
        return response
    return response


def container_of(pod: JsonObject, wanted: str) -> str:
    """The container that is meant; without a name the pod's only one."""
    names = [each["name"] for each in pod["spec"]["containers"]]
    known = names + [each["name"] for each in pod["spec"].get("initContainers") or ()]
    pod_name = pod["metadata"]["name"]
    if wanted and wanted not in known:
        raise statuses.bad_request(f"container {wanted} is not valid for pod {pod_name}")
    if not wanted and len(names) > 1:
        choice = " ".join(names)
        message = f"a container name must be specified for pod {pod_name}, choose one of: [{choice}]"
        raise statuses.bad_request(message)
    return wanted or str(names[0])


def kubelet_url(call: Call, pod: JsonObject) -> str:
    """Where the kubelet of the pod's node answers."""
    name = pod["spec"].get("nodeName")
    if not name:
        raise statuses.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    node = call.plane.store.get("", "nodes", None, name)
    if node is None:
        raise statuses.not_found("", "nodes", name)
    port = value_at(node, "status.daemonEndpoints.kubeletEndpoint.Port")
    addresses = value_at(node, "status.addresses") or ()
    address = next((each["address"] for each in addresses if each["type"] == "InternalIP"), None)
    if not port or not address:
        raise statuses.internal(f"node {name} tells no kubelet address")
    scheme = (node["metadata"].get("annotations") or {}).get(_SCHEME_ANNOTATION, "https")
    return f"{scheme}://{address}:{port}"


async def bind(call: Call) -> web.Response:
    """Place a pod on a node: what a scheduler posts."""
    resource, version = call.target()
    body: Any = await call.body()
    node = value_at(body, "target.name") if isinstance(body, dict) else None
    if not node:
        raise statuses.bad_request("target.name: Required value")

    def bound(current: JsonObject) -> JsonObject:
        present = current["spec"].get("nodeName")
        if present:
            name = call.info.name
            why = f'pod {name} is already assigned to node "{present}"'
            raise statuses.conflict("", "pods/binding", name, why)
        pod: JsonObject = copy_json(current)
        pod["spec"]["nodeName"] = node
        return pod

    await call.plane.writer.change(call.write_request(resource, version), bound)
    return call.respond({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, 201)
