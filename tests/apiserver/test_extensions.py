"""What extends the server: definitions, admission webhooks, aggregated APIs, and pods' logs from a node."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from .conftest import MERGE, STRATEGIC, Api, gone, until

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(plural: str, **version: Any) -> dict[str, Any]:
    """A definition in two versions with a small schema."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer", "minimum": 1, "default": 3}, "note": {"type": "string"}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    second = {**first, "name": "v1beta1", "storage": False}
    return {
        "metadata": {"name": f"{plural}.ext.example"},
        "spec": {
            "group": "ext.example",
            "scope": "Namespaced",
            "names": {
                "plural": plural,
                "kind": plural.capitalize(),
                "shortNames": [f"{plural}x"],
                "categories": ["ext"],
            },
            "versions": [first, second],
        },
    }


@asynccontextmanager
async def listening(reply: Reply) -> AsyncIterator[str]:
    """The URL of an HTTP server that answers every request."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", reply)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_definitions_are_served_at_once(api: Api, namespace: str) -> None:
    """A definition is established when its create is answered; its objects are defaulted, pruned and validated."""
    made = await api.create(DEFINITIONS, definition("gadgets", subresources={"status": {}}))
    assert {each["type"]: each["status"] for each in made["status"]["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    path = f"/apis/ext.example/v1/namespaces/{namespace}/gadgets"
    item = await api.create(path, {"metadata": {"name": "a"}, "spec": {"note": "n", "x": 1}, "status": {"y": 1}})
    assert (item["spec"], "status" in item, item["metadata"]["generation"]) == ({"note": "n", "size": 3}, False, 1)
    refused = await api.send("PATCH", f"{path}/a", {"spec": {"size": 0}}, MERGE)
    assert refused.code == 422
    assert 'Gadgets.ext.example "a" is invalid: spec.size: Invalid value: 0' in refused.body["message"]
    status = await api.send("PATCH", f"{path}/a/status", {"status": {"y": 1}, "spec": {"size": 9}}, MERGE)
    assert (status.body["status"], status.body["spec"]["size"]) == ({"y": 1}, 3)


async def test_versions_differ_in_name_only(api: Api, namespace: str) -> None:
    """Strategy None: an object is read in each served version, with that apiVersion."""
    await api.create(DEFINITIONS, definition("levers"))
    await api.create(f"/apis/ext.example/v1beta1/namespaces/{namespace}/levers", {"metadata": {"name": "a"}})
    versions = []
    for version in ("v1", "v1beta1"):
        answer = await api.get(f"/apis/ext.example/{version}/namespaces/{namespace}/levers/a")
        versions.append(answer.body["apiVersion"])
    assert versions == ["ext.example/v1", "ext.example/v1beta1"]


async def test_custom_resources_need_a_version_to_be_replaced(api: Api, namespace: str) -> None:
    """PUT of a custom resource without resourceVersion is refused; strategic merge patch is not served for it."""
    await api.create(DEFINITIONS, definition("cranks"))
    path = f"/apis/ext.example/v1/namespaces/{namespace}/cranks"
    await api.create(path, {"metadata": {"name": "a"}})
    replaced = await api.send("PUT", f"{path}/a", {"metadata": {"name": "a"}})
    assert "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update" in replaced.body["message"]
    assert (await api.send("PATCH", f"{path}/a", {}, STRATEGIC)).code == 415


async def test_deleted_definitions_take_their_objects(api: Api, namespace: str) -> None:
    """A definition stays until its objects are gone, refuses new ones, and is not served afterwards."""
    await api.create(DEFINITIONS, definition("knobs"))
    path = f"/apis/ext.example/v1/namespaces/{namespace}/knobs"
    await api.create(path, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    await api.send("DELETE", f"{DEFINITIONS}/knobs.ext.example")
    await until(api, f"{path}/a", lambda _, body: "deletionTimestamp" in body["metadata"])
    refused = await api.send("POST", path, {"metadata": {"name": "b"}})
    assert refused.body["message"] == "create not allowed while custom resource definition is terminating"
    await api.send("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, MERGE)
    await gone(api, f"{DEFINITIONS}/knobs.ext.example")
    assert (await api.get(path)).body["message"] == "the server could not find the requested resource"


async def test_names_in_use_are_not_accepted(api: Api) -> None:
    """A second definition with a taken short name is stored, not established, and says why."""
    await api.create(DEFINITIONS, definition("pumps"))
    other = definition("tubes")
    other["spec"]["names"]["shortNames"] = ["pumpsx"]
    made = await api.create(DEFINITIONS, other)
    conditions = {each["type"]: (each["status"], each["message"]) for each in made["status"]["conditions"]}
    assert conditions["NamesAccepted"] == ("False", '"pumpsx" is already in use')
    assert conditions["Established"][0] == "False"


def review_answer(seen: list[dict[str, Any]], **response: Any) -> Reply:
    """A webhook that notes what it is asked and answers always the same."""

    async def reply(request: web.Request) -> web.StreamResponse:
        review = await request.json()
        seen.append(review["request"])
        body = {"uid": review["request"]["uid"], "allowed": True, **response}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": body})

    return reply


async def webhook(api: Api, kind: str, name: str, url: str, namespace: str, **more: Any) -> str:
    """Register a webhook for the ConfigMaps of a namespace; returns its path."""
    path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations"
    entry = {
        "name": f"{name}.example.com",
        "clientConfig": {"url": url},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        **more,
    }
    await api.create(path, {"metadata": {"name": name}, "webhooks": [entry]})
    return f"{path}/{name}"


async def test_validating_webhooks_refuse(api: Api, namespace: str) -> None:
    """A webhook's refusal is the answer, with its code, reason and message; it sees what is about to happen."""
    seen: list[dict[str, Any]] = []
    status = {"message": "no", "code": 422, "reason": "Invalid"}
    async with listening(review_answer(seen, allowed=False, status=status)) as url:
        path = await webhook(api, "validating", f"deny-{namespace}", url, namespace)
        answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await api.send("DELETE", path)
    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"] == f'admission webhook "deny-{namespace}.example.com" denied the request: no'
    assert (seen[-1]["operation"], seen[-1]["namespace"]) == ("CREATE", namespace)
    assert (seen[-1]["oldObject"], seen[-1]["object"]["metadata"]["name"]) == (None, "a")


async def test_mutating_webhooks_change_objects(api: Api, namespace: str) -> None:
    """A mutating webhook's patch is stored, and its warning told."""
    patch = [{"op": "add", "path": "/data", "value": {"added": "yes"}}]
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()
    async with listening(review_answer([], patch=encoded, patchType="JSONPatch", warnings=["careful"])) as url:
        path = await webhook(api, "mutating", f"change-{namespace}", url, namespace)
        answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await api.send("DELETE", path)
    assert answer.body["data"] == {"added": "yes"}
    assert answer.warnings == ('299 - "careful"',)


@pytest.mark.parametrize(("policy", "code"), [("Fail", 500), ("Ignore", 201)])
async def test_webhooks_that_do_not_answer(api: Api, namespace: str, policy: str, code: int) -> None:
    """FailurePolicy decides what happens when a webhook cannot be called."""
    name = f"dead-{namespace}"
    path = await webhook(api, "validating", name, "http://127.0.0.1:9", namespace, failurePolicy=policy)
    answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
    await api.send("DELETE", path)
    assert answer.code == code
    if code == 500:
        assert f'failed calling webhook "{name}.example.com"' in answer.body["message"]


async def test_aggregated_apis(api: Api) -> None:
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
    async with listening(reply) as url:
        metadata = {"name": "v1.sub.example", "annotations": {"sandbox.safehold.dev/url": url}}
        service = {"namespace": "default", "name": "sub"}
        spec = {"group": "sub.example", "version": "v1", "service": service}
        priorities = {"groupPriorityMinimum": 1, "versionPriority": 1}
        await api.create(path, {"metadata": metadata, "spec": {**spec, **priorities}})
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
    metadata = {"name": "v1.dead.example", "annotations": {"sandbox.safehold.dev/url": "http://127.0.0.1:9"}}
    spec = {"group": "dead.example", "version": "v1", "service": {"namespace": "default", "name": "dead"}}
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    await api.create(path, {"metadata": metadata, "spec": {**spec, "groupPriorityMinimum": 1, "versionPriority": 1}})
    conditions = await until(
        api, f"{path}/v1.dead.example", lambda _, body: bool(body.get("status", {}).get("conditions"))
    )
    assert conditions["status"]["conditions"][0]["reason"] == "FailedDiscoveryCheck"
    assert (await api.get("/apis/dead.example/v1/things")).code == 503
    await api.send("DELETE", f"{path}/v1.dead.example")


async def test_logs_come_from_the_kubelet(api: Api, namespace: str) -> None:
    """A pod's log is what the kubelet of its node says."""

    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(text=json.dumps([request.path, request.query_string]))

    async with listening(reply) as url:
        host, port = url.removeprefix("http://").split(":")
        name = f"node-{namespace}"
        annotations = {"sandbox.safehold.dev/kubelet-scheme": "http"}
        await api.create("/api/v1/nodes", {"metadata": {"name": name, "annotations": annotations}})
        status = {
            "addresses": [{"type": "InternalIP", "address": host}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": int(port)}},
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
