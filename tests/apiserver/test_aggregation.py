"""Group versions that another server answers for."""

from aiohttp import web

from sandbox.certificates import ServingFiles

from .conftest import Api, until
from .servers import bundle, listening, service


async def test_aggregated_apis(api: Api, files: ServingFiles) -> None:
    """A group version of another server is discovered and proxied, with the user in headers and no credentials."""
    seen: list[web.Request] = []

    async def reply(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        if request.path == "/apis/sub.example/v1":
            verbs = {"name": "machines/start", "kind": "Start", "namespaced": True, "verbs": ["update"]}
            body = {"kind": "APIResourceList", "groupVersion": "sub.example/v1", "resources": [verbs]}
            return web.json_response(body)
        return web.json_response({"path": request.path_qs, "body": await request.json()}, status=202)

    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    async with listening(reply, files) as (_, port), service(api):
        reference = {"namespace": "default", "name": "sub", "port": port}
        spec = {"group": "sub.example", "version": "v1", "service": reference, "caBundle": bundle(files)}
        priorities = {"groupPriorityMinimum": 1, "versionPriority": 1}
        await api.create(path, {"metadata": {"name": "v1.sub.example"}, "spec": {**spec, **priorities}})
        body = await until(
            api, f"{path}/v1.sub.example", lambda _, body: bool(body.get("status", {}).get("conditions"))
        )
        assert body["status"]["conditions"][0]["reason"] == "Passed"
        groups = (await api.get("/apis")).body["groups"]
        assert "sub.example" in [group["name"] for group in groups]
        start = "/apis/sub.example/v1/namespaces/default/machines/m/start"
        answer = await api.send("PUT", f"{start}?dryRun=All", {"paused": True})
        assert (answer.code, answer.body) == (202, {"path": f"{start}?dryRun=All", "body": {"paused": True}})
        assert seen[-1].headers["X-Remote-User"] == "kubernetes-admin"
        assert "Authorization" not in seen[-1].headers
        await api.send("DELETE", f"{path}/v1.sub.example")


async def test_unreachable_aggregated_api(api: Api) -> None:
    """An APIService without a server is told as unavailable, and its paths answer 503."""
    metadata = {"name": "v1.dead.example"}
    spec = {"group": "dead.example", "version": "v1", "service": {"namespace": "default", "name": "dead"}}
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    await api.create(path, {"metadata": metadata, "spec": {**spec, "groupPriorityMinimum": 1, "versionPriority": 1}})
    conditions = await until(
        api, f"{path}/v1.dead.example", lambda _, body: bool(body.get("status", {}).get("conditions"))
    )
    assert conditions["status"]["conditions"][0]["reason"] == "FailedDiscoveryCheck"
    assert (await api.get("/apis/dead.example/v1/things")).code == 503
    await api.send("DELETE", f"{path}/v1.dead.example")
