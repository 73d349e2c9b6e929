"""A running API server for the tests of this folder, and a plain HTTP client of it."""

import asyncio
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sandbox.apiserver import EmbeddedApiServer, ServerSettings, running_api_server
from sandbox.certificates import ServingFiles, serving_files

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    code: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()


class Api:
    """Requests with JSON bodies, as the administrator unless told otherwise."""

    def __init__(self, server: EmbeddedApiServer, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session

    async def send(
        self, method: str, path: str, body: Any = None, media: str = "application/json", **headers: str
    ) -> Answer:
        """Send a request; header names are given with underscores."""
        sent = {"Content-Type": media, **self._headers(headers)}
        data = json.dumps(body) if body is not None else None
        async with self._session.request(method, self._server.url + path, data=data, headers=sent) as response:
            return Answer(response.status, await response.json(), tuple(response.headers.getall("Warning", [])))

    async def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return await self.send("GET", path, **headers)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST that must succeed."""
        answer = await self.send("POST", path, body)
        assert answer.code == 201, answer.body
        return answer.body

    @asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The events of a watch."""
        async with self._session.get(self._server.url + path, headers=self._headers({})) as response:
            assert response.status == 200, await response.text()

            async def events() -> AsyncIterator[dict[str, Any]]:
                async for line in response.content:
                    yield json.loads(line)

            yield events()
            if response.connection and response.connection.transport:
                # A TLS connection that is left in the middle of an answer closes too late for the test's event loop.
                response.connection.transport.abort()
                await asyncio.sleep(0)

    async def text(self, path: str) -> str:
        """The body of a GET whose answer is no JSON."""
        async with self._session.get(self._server.url + path, headers=self._headers({})) as response:
            assert response.status == 200
            return await response.text()

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {"Authorization": f"Bearer {self._server.token}", **named}


async def until(api: Api, path: str, holds: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
    """The answer to a GET as soon as a condition holds of it."""
    async with asyncio.timeout(180):
        while True:
            answer = await api.get(path)
            if holds(answer.code, answer.body):
                return answer.body
            await asyncio.sleep(0.01)


async def gone(api: Api, path: str) -> None:
    """Wait until nothing is at a path."""
    await until(api, path, lambda code, _: code == 404)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedApiServer]:
    """One server for all tests; they keep apart by namespaces and names. Namespaces end almost at once."""
    settings = ServerSettings(namespace_delay_seconds=0.1, bookmark_seconds=0.2)
    with running_api_server(Path(tmp_path_factory.mktemp("apiserver")), settings=settings) as server:
        yield server


@asynccontextmanager
async def client_of(server: EmbeddedApiServer) -> AsyncIterator[Api]:
    """A client that trusts the server's CA."""
    context = ssl.create_default_context(cafile=str(server.kubeconfig.parent / "pki" / "ca.crt"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield Api(server, session)


@pytest.fixture
async def api(api_server: EmbeddedApiServer) -> AsyncIterator[Api]:
    """A client of the session's server."""
    async with client_of(api_server) as client:
        yield client


_numbers = itertools.count(1)


@pytest.fixture
async def namespace(api: Api) -> str:
    """A new namespace."""
    name = f"t{next(_numbers)}"
    await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> ServingFiles:
    """Certificate and key of the Service default/sub, and of loopback."""
    return serving_files(tmp_path_factory.mktemp("pki"), "sub", ["sub.default.svc"])
