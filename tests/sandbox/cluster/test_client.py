"""The client over a real HTTP server that answers as an API server does."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from sandbox.cluster import kinds
from sandbox.cluster.client import Cluster
from sandbox.cluster.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    NotFoundError,
)
from sandbox.cluster.kubeconfig import KubeconfigError, load_endpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def kubeconfig(path: Path, server: str, user: dict[str, Any]) -> Path:
    """Writes a kubeconfig with one context."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@asynccontextmanager
async def served(tmp_path: Path, handler: Handler) -> AsyncIterator[Cluster]:
    """A cluster connection to a server on which every request goes to the handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        config = kubeconfig(tmp_path / "config", str(server.make_url("")), {"token": "s3cret"})
        async with Cluster.connect(config, "tests") as cluster:
            yield cluster
    finally:
        await server.close()


def status(code: int, reason: str, **more: Any) -> web.Response:
    """An error answer as a Status object."""
    return web.json_response({"kind": "Status", "code": code, "reason": reason, "message": "why", **more}, status=code)


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "subresource", "path"),
    [
        (kinds.POD, None, None, None, "/api/v1/pods"),
        (kinds.POD, "a", None, None, "/api/v1/namespaces/a/pods"),
        (kinds.POD, "a", "p", "status", "/api/v1/namespaces/a/pods/p/status"),
        (kinds.NODE, None, "n", None, "/api/v1/nodes/n"),
        (kinds.PERSISTENT_VOLUME, "ignored", "v", None, "/api/v1/persistentvolumes/v"),
        (kinds.JOB, "a", "j", None, "/apis/batch/v1/namespaces/a/jobs/j"),
    ],
)
def test_path(kind: kinds.Kind, namespace: str | None, name: str | None, subresource: str | None, path: str) -> None:
    """Each kind knows its URLs."""
    assert kind.path(namespace, name, subresource) == path


def test_path_needs_a_namespace() -> None:
    """A namespaced object cannot be addressed without its namespace."""
    with pytest.raises(ValueError, match="Pod p needs a namespace"):
        kinds.POD.path(None, "p")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(403, "Forbidden"), ForbiddenError),
        (status(409, "Conflict"), ConflictError),
        (status(409, "AlreadyExists"), AlreadyExistsError),
        (status(410, "Expired"), GoneError),
        (status(422, "Invalid"), InvalidError),
        (web.Response(status=500, text="broken"), ApiError),
    ],
)
async def test_errors_are_typed(tmp_path: Path, answer: web.Response, error: type[ApiError]) -> None:
    """Every refusal becomes its own exception, with the server's words."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return answer

    async with served(tmp_path, handler) as cluster:
        with pytest.raises(error) as caught:
            await cluster.get(kinds.POD, "p", "a")
        assert type(caught.value) is error
        assert caught.value.message in ("why", "broken")


async def test_absent_objects(tmp_path: Path) -> None:
    """Reading an absent object gives None, deleting it is fine, patching it is an error."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return status(404, "NotFound")

    async with served(tmp_path, handler) as cluster:
        assert await cluster.get(kinds.POD, "p", "a") is None
        await cluster.delete(kinds.POD, "p", "a")
        with pytest.raises(NotFoundError):
            await cluster.patch(kinds.POD, "p", {}, "a")


async def test_what_is_sent(tmp_path: Path) -> None:
    """Token, media type, field manager, delete preconditions and list selectors reach the server."""
    seen: list[tuple[str, str, dict[str, str], str, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer s3cret"
        body = json.loads(await request.text() or "null")
        seen.append((request.method, request.path, dict(request.query), request.content_type, body))
        items = [{"metadata": {"name": "p"}}]
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": items})

    async with served(tmp_path, handler) as cluster:
        await cluster.patch(kinds.POD, "p", {"a": 1}, "a", patch_type="apply", subresource="status")
        await cluster.delete(kinds.POD, "p", "a", uid="u", propagation="Foreground", grace_seconds=0)
        pods, version = await cluster.list_with_version(kinds.POD, "a", labels="x=y", fields="spec.nodeName=n")
    apply, delete, listing = seen
    assert apply[1:4] == (
        "/api/v1/namespaces/a/pods/p/status",
        {"fieldManager": "tests", "force": "true"},
        "application/apply-patch+yaml",
    )
    assert delete[4] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "u"},
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
    }
    assert listing[2] == {"labelSelector": "x=y", "fieldSelector": "spec.nodeName=n"}
    assert version == "7"
    assert pods == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}]


async def test_a_refused_event_does_not_fail_the_caller(tmp_path: Path) -> None:
    """An event in a namespace that is ending is dropped."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return status(403, "Forbidden", details={"causes": [{"reason": "NamespaceTerminating"}]})

    async with served(tmp_path, handler) as cluster:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "a", "uid": "u"}}
        await cluster.event(pod, "Normal", "Started", "started", "kubelet")
        with pytest.raises(ForbiddenError):
            await cluster.create(kinds.POD, pod)


@pytest.mark.parametrize(("entry", "value"), [("exec", {"command": "x"}), ("username", "root")])
def test_unsupported_logins(tmp_path: Path, entry: str, value: Any) -> None:
    """A way of logging in that is not understood is refused by name."""
    with pytest.raises(KubeconfigError, match=f"logs in by {entry}"):
        load_endpoint(kubeconfig(tmp_path / "config", "http://x", {entry: value}))


def test_missing_entry(tmp_path: Path) -> None:
    """A context that names an absent cluster is refused by name."""
    path = kubeconfig(tmp_path / "config", "http://x", {})
    path.write_text(path.read_text().replace("cluster: k", "cluster: other"))
    with pytest.raises(KubeconfigError, match="no entry 'other' in clusters"):
        load_endpoint(path)
