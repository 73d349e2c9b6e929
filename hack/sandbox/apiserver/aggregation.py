"""Aggregated APIs: group versions that another server answers for, found through APIService objects.

The server is behind the Service that the APIService names (see `addresses`). The user travels in X-Remote-* headers, as
from the real aggregation layer.
"""

import ssl
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.addresses import Backend, backend_of, trust_of
from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.calls import Call
from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.objects import JsonObject, copy_json, format_time, name_of
from sandbox.apiserver.store import StoreEvent

GROUP = "apiregistration.k8s.io"
_PLURAL = "apiservices"
_PROBE_SECONDS = 5.0
_REPROBE_SECONDS = 30.0
_RETRY_SECONDS = 2.0
_HOP_HEADERS = frozenset(
    {"authorization", "connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}
)
_NAME_MARKS = "!#$&'*+-.^_`|~"
"""What a header's name may hold beside letters and digits (RFC 9110)."""
_CHUNK_BYTES = 64 << 10


class Aggregator:
    """Knows the aggregated group versions, what they serve, and how to pass a request on."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._session: aiohttp.ClientSession | None = None
        self.resources: dict[tuple[str, str], JsonObject] = {}
        """(group, version) → the APIResourceList of its server, as of the last probe."""
        self._due = {name_of(item): plane.now() for item in plane.store.list(GROUP, _PLURAL)}
        plane.store.subscribe(GROUP, _PLURAL, self._changed)

    def _changed(self, event: StoreEvent) -> None:
        spec = event.entry.document["spec"]
        name = event.entry.key.name
        if event.type == "DELETED":
            self._due.pop(name, None)
            self.resources.pop((spec.get("group", ""), spec.get("version", "")), None)
            self._plane.registry.generation += 1
        elif event.previous is None or event.previous.document["spec"] != spec:
            self._due[name] = self._plane.now()

    def _backend(self, service: JsonObject) -> Backend | None:
        reference = service["spec"].get("service")
        return backend_of(self._plane.store, reference) if reference else None

    def is_aggregated(self, group: str, version: str) -> bool:
        """An APIService hands this group version to another server, reachable or not."""
        service = self._plane.store.get(GROUP, _PLURAL, None, f"{version}.{group}")
        return bool(service and service["spec"].get("service"))

    def groups(self) -> dict[str, list[str]]:
        """Group → versions that are available."""
        found: dict[str, list[str]] = {}
        for group, version in sorted(self.resources):
            found.setdefault(group, []).append(version)
        return found

    async def close(self) -> None:
        """Close the connections to the other servers."""
        if self._session:
            await self._session.close()
            self._session = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        return self._session

    async def proxy(self, call: Call) -> web.StreamResponse:
        """Pass the request on, and the answer back as it comes."""
        service = self._service(call)
        backend = self._backend(service)
        if backend is None:
            raise statuses.unavailable("service unavailable")
        headers = [item for item in call.http.headers.items() if _passes(item[0])]
        try:
            async with self._client().request(
                call.http.method,
                backend.url + call.http.path_qs,
                headers=[*headers, *_user_headers(call.user)],
                data=await call.http.read(),
                ssl=_trust(service),
                server_hostname=backend.server_name,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_PROBE_SECONDS),
                allow_redirects=False,
            ) as upstream:
                return await _relay(call, upstream)
        except (aiohttp.ClientConnectionError, TimeoutError) as failure:
            raise statuses.unavailable(f"error trying to reach service: {failure}") from failure

    def _service(self, call: Call) -> JsonObject:
        name = f"{call.info.version}.{call.info.group}"
        return self._plane.store.get(GROUP, _PLURAL, None, name) or {"spec": {}}

    async def run(self) -> float | None:
        """Probe the APIServices whose time has come: new ones at once, unavailable ones soon, others now and then."""
        now = self._plane.now()
        for name in [name for name, due in self._due.items() if due <= now]:
            service = self._plane.store.get(GROUP, _PLURAL, None, name)
            if service is None:
                self._due.pop(name, None)
                continue
            pause = _REPROBE_SECONDS if await self._probe(service) else _RETRY_SECONDS
            self._due[name] = now + timedelta(seconds=pause)
        next_due = min(self._due.values(), default=None)
        return max((next_due - self._plane.now()).total_seconds(), 0.0) if next_due else None

    async def _probe(self, service: JsonObject) -> bool:
        spec = service["spec"]
        key = (spec["group"], spec["version"])
        if not spec.get("service"):
            await self._report(
                service, available=True, reason="Local", message="Local APIServices are always available"
            )
            return True
        before = self.resources.get(key)
        try:
            self.resources[key] = await self._discover(service, key)
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            self.resources.pop(key, None)
            message = f"failing or missing response from /apis/{key[0]}/{key[1]}: {failure}"
            await self._report(service, available=False, reason="FailedDiscoveryCheck", message=message)
            return False
        finally:
            if self.resources.get(key) != before:
                self._plane.registry.generation += 1
        await self._report(service, available=True, reason="Passed", message="all checks passed")
        return True

    async def _discover(self, service: JsonObject, key: tuple[str, str]) -> JsonObject:
        backend = self._backend(service)
        if backend is None:
            reference = service["spec"]["service"]
            raise ValueError(f'service/{reference["name"]} in "{reference["namespace"]}" is not of type ExternalName')
        address = f"{backend.url}/apis/{key[0]}/{key[1]}"
        async with self._client().get(
            address,
            headers={"Accept": "application/json"},
            ssl=_trust(service),
            server_hostname=backend.server_name,
            timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS),
        ) as response:
            if response.status != 200:
                raise ValueError(f"bad status from {address}: {response.status}")
            document: Any = await response.json(content_type=None)
        if not isinstance(document, dict) or not isinstance(document.get("resources"), list):
            raise ValueError(f"{address} answers no APIResourceList")  # noqa: TRY004 - the body's fault, not a caller's
        return document

    async def _report(self, service: JsonObject, *, available: bool, reason: str, message: str) -> None:
        now = format_time(self._plane.now())
        status = "True" if available else "False"

        def reported(current: JsonObject) -> JsonObject:
            item: JsonObject = copy_json(current)
            conditions = (item.get("status") or {}).get("conditions") or []
            before: JsonObject = next((each for each in conditions if each["type"] == "Available"), {})
            time = before.get("lastTransitionTime") if before.get("status") == status else None
            condition = {"type": "Available", "status": status, "reason": reason, "message": message}
            item["status"] = {"conditions": [{**condition, "lastTransitionTime": time or now}]}
            return item

        resource = self._plane.registry.get(GROUP, _PLURAL)
        if resource:
            request = self._plane.request_for(resource, "", name_of(service), subresource="status")
            await self._plane.writer.change(request, reported)


def _passes(header: str) -> bool:
    name = header.lower()
    return name not in _HOP_HEADERS and not name.startswith(("impersonate-", "x-remote-"))


def _user_headers(user: UserInfo) -> list[tuple[str, str]]:
    headers = [("X-Remote-User", user.name)]
    headers += [("X-Remote-Uid", user.uid)] if user.uid else []
    headers += [("X-Remote-Group", group) for group in user.groups]
    for key, values in user.extra.items():
        # Keys are often qualified by a domain and a slash, which no header's name may hold.
        headers += [(f"X-Remote-Extra-{quote(key, safe=_NAME_MARKS)}", value) for value in values]
    return headers


def _trust(service: JsonObject) -> ssl.SSLContext | bool:
    if service["spec"].get("insecureSkipTLSVerify"):
        return False
    return trust_of(service["spec"].get("caBundle"))


async def _relay(call: Call, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=upstream.status)
    for name, value in upstream.headers.items():
        if name.lower() not in _HOP_HEADERS:
            response.headers.add(name, value)
    await response.prepare(call.http)
    try:
        async for chunk in upstream.content.iter_chunked(_CHUNK_BYTES):
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        # The client has left; the connection to the other server ends with its context.
        return response
    return response
