"""Credentials, also rotated ones, and how the server's answers become errors."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config

from safehold import errors
from safehold.kube.connection import Connection, refusal
from sandbox.apiserver import EmbeddedApiServer


def status(code: int, message: str = "said the server", **details: Any) -> str:
    """A v1/Status as the server answers it."""
    return json.dumps({"kind": "Status", "code": code, "message": message, "details": details})


ANSWERS = [
    (400, status(400), errors.ClusterError, False),
    (401, status(401), errors.ClusterUnavailableError, True),
    (403, status(403), errors.ForbiddenError, False),
    (404, status(404), errors.NotFoundError, False),
    (404, "404 page not found\n", errors.NotServedError, False),
    (409, status(409), errors.ConflictError, True),
    (422, status(422), errors.InvalidObjectError, False),
    (429, status(429), errors.ClusterUnavailableError, True),
    (500, status(500), errors.ClusterUnavailableError, True),
    (503, "no healthy upstream", errors.ClusterUnavailableError, True),
    (403, status(403, causes=[{"reason": "NamespaceTerminating"}]), errors.NamespaceEndingError, False),
]


@pytest.mark.parametrize(("code", "content", "kind", "retryable"), ANSWERS)
def test_every_answer_has_its_error(code: int, content: str, kind: type[errors.ClusterError], retryable: bool) -> None:
    """The HTTP status and the causes decide; the sentence names what was asked."""
    error = refusal("get Pod a/b", code, content)
    assert type(error) is kind
    assert error.retryable is retryable
    assert "get Pod a/b" in str(error)


@pytest.fixture
def pod(kube_server: EmbeddedApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and variables that a pod has; answers its token file."""
    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("first")
    ca.write_bytes((kube_server.kubeconfig.parent / "pki" / "ca.crt").read_bytes())
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return token


async def test_in_a_pod_the_rotated_token_is_sent(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute the token file is read again, for our own requests and for Kopf's."""
    connection = await Connection.open(None, timeout_seconds=60)
    try:
        first = await connection.credentials()
        assert (first["server"], first["scheme"], first["token"]) == ("https://[fd00::1]:443", "Bearer", "first")
        await asyncio.to_thread(pod.write_text, "second")
        # The library compares local times without a zone.
        later = datetime.now() + timedelta(minutes=2)  # noqa: DTZ005
        clock = SimpleNamespace(now=lambda: later)
        monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=clock, timedelta=timedelta))
        assert (await connection.credentials())["token"] == "second"
    finally:
        await connection.close()


async def test_without_credentials_the_error_says_where_they_were_looked_for(tmp_path: Path) -> None:
    """Outside of a cluster, and with a kubeconfig that is none."""
    with pytest.raises(errors.ClusterError, match="service account"):
        await Connection.open(None, timeout_seconds=5)
    wrong = tmp_path / "kubeconfig"
    for content in (b"apiVersion: v1\nkind: Config\n", b"", b"words", b"a: [", b"\x1f\x8b\xff", b"current-context: c"):
        wrong.write_bytes(content)
        with pytest.raises(errors.ClusterError, match="kubeconfig"):
            await Connection.open(wrong, timeout_seconds=5)
