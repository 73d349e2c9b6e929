"""Pods' logs, from the kubelet of their node."""

import json

from aiohttp import web

from .conftest import MERGE, Api
from .servers import listening


async def test_logs_come_from_the_kubelet(api: Api, namespace: str) -> None:
    """A pod's log is what the kubelet of its node says."""

    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(text=json.dumps([request.path, request.query_string]))

    async with listening(reply) as (host, port):
        name = f"node-{namespace}"
        annotations = {"sandbox.safehold.dev/kubelet-scheme": "http"}
        await api.create("/api/v1/nodes", {"metadata": {"name": name, "annotations": annotations}})
        status = {
            "addresses": [{"type": "InternalIP", "address": host}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        await api.send("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, MERGE)
        pods = f"/api/v1/namespaces/{namespace}/pods"
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await api.create(pods, {"metadata": {"name": "p"}, "spec": spec})
        early = await api.get(f"{pods}/p/log")
        assert early.body["message"] == "pod p does not have a host assigned"
        await api.create(f"{pods}/p/binding", {"target": {"kind": "Node", "name": name}})
        again = await api.send("POST", f"{pods}/p/binding", {"target": {"kind": "Node", "name": name}})
        assert (again.code, again.body["reason"]) == (409, "Conflict")
        text = await api.text(f"{pods}/p/log?tailLines=5")
        assert json.loads(text) == [f"/containerLogs/{namespace}/p/c", "tailLines=5"]
