"""Admission webhooks: what they are asked, what their answers do, and how they are reached."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sandbox.certificates import ServingFiles, serving_files

from .conftest import Api
from .servers import Reply, bundle, listening, service


def review_answer(seen: list[dict[str, Any]], **response: Any) -> Reply:
    """A webhook that notes what it is asked and answers always the same."""

    async def reply(request: web.Request) -> web.StreamResponse:
        review = await request.json()
        seen.append(review["request"])
        body = {"uid": review["request"]["uid"], "allowed": True, **response}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": body})

    return reply


async def webhook(api: Api, kind: str, name: str, client: dict[str, Any], namespace: str, **more: Any) -> str:
    """Register a webhook with this clientConfig for the ConfigMaps of a namespace; returns its path."""
    path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations"
    entry = {
        "name": f"{name}.example.com",
        "clientConfig": client,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        **more,
    }
    await api.create(path, {"metadata": {"name": name}, "webhooks": [entry]})
    return f"{path}/{name}"


async def test_validating_webhooks_refuse(api: Api, namespace: str, files: ServingFiles) -> None:
    """A webhook's refusal is the answer, with its code, reason and message; it sees what is about to happen."""
    seen: list[dict[str, Any]] = []
    status = {"message": "no", "code": 422, "reason": "Invalid"}
    async with listening(review_answer(seen, allowed=False, status=status), files) as (host, port):
        client = {"url": f"https://{host}:{port}/validate", "caBundle": bundle(files)}
        path = await webhook(api, "validating", f"deny-{namespace}", client, namespace)
        answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await api.send("DELETE", path)
    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"] == f'admission webhook "deny-{namespace}.example.com" denied the request: no'
    assert (seen[-1]["operation"], seen[-1]["namespace"]) == ("CREATE", namespace)
    assert (seen[-1]["oldObject"], seen[-1]["object"]["metadata"]["name"]) == (None, "a")


async def test_mutating_webhooks_change_objects(api: Api, namespace: str, files: ServingFiles) -> None:
    """A mutating webhook's patch is stored, and its warning told."""
    patch = [{"op": "add", "path": "/data", "value": {"added": "yes"}}]
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()
    reply = review_answer([], patch=encoded, patchType="JSONPatch", warnings=["careful"])
    async with listening(reply, files) as (host, port):
        client = {"url": f"https://{host}:{port}", "caBundle": bundle(files)}
        path = await webhook(api, "mutating", f"change-{namespace}", client, namespace)
        answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await api.send("DELETE", path)
    assert answer.body["data"] == {"added": "yes"}
    assert answer.warnings == ('299 - "careful"',)


@pytest.mark.parametrize(("policy", "code"), [("Fail", 500), ("Ignore", 201)])
async def test_webhooks_that_do_not_answer(api: Api, namespace: str, policy: str, code: int) -> None:
    """FailurePolicy decides what happens when a webhook cannot be called."""
    name = f"dead-{namespace}"
    path = await webhook(api, "validating", name, {"url": "https://127.0.0.1:9"}, namespace, failurePolicy=policy)
    answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
    await api.send("DELETE", path)
    assert answer.code == code
    if code == 500:
        assert f'failed calling webhook "{name}.example.com"' in answer.body["message"]


async def test_webhooks_need_tls(api: Api, namespace: str) -> None:
    """A plain HTTP URL is refused, as by the real server."""
    entry = {
        "name": "plain.example.com",
        "clientConfig": {"url": "http://127.0.0.1:9"},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    answer = await api.send("POST", path, {"metadata": {"name": namespace}, "webhooks": [entry]})
    assert answer.code == 422
    assert "'https' is the only allowed URL scheme" in answer.body["message"]


@pytest.mark.parametrize(
    ("certified", "code"), [("sub.default.svc", 400), ("another.default.svc", 500)], ids=["its-own", "anothers"]
)
async def test_webhooks_behind_services(api: Api, namespace: str, tmp_path: Path, certified: str, code: int) -> None:
    """A Service of the type ExternalName is followed, and its server must have a certificate for the Service's name."""
    own = serving_files(tmp_path, "hook", [certified])
    async with listening(review_answer([], allowed=False), own) as (_, port), service(api):
        reference = {"namespace": "default", "name": "sub", "port": port, "path": "/validate"}
        client = {"service": reference, "caBundle": bundle(own)}
        path = await webhook(api, "validating", f"service-{namespace}", client, namespace)
        answer = await api.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "a"}})
        await api.send("DELETE", path)
    assert answer.code == code, answer.body
