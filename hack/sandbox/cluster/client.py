"""A Kubernetes API client of the size the sandbox needs: objects are plain JSON dictionaries."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp

from sandbox.cluster.errors import AlreadyExistsError, ApiError, ForbiddenError, NotFoundError, error_of
from sandbox.cluster.kinds import EVENT, Kind
from sandbox.cluster.kubeconfig import Endpoint, load_endpoint

Object = dict[str, Any]
Objects = list[Object]
PatchType = Literal["merge", "json", "apply", "strategic"]

_log = logging.getLogger(__name__)
_PATCH_MEDIA = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
    "strategic": "application/strategic-merge-patch+json",
}
_REQUEST_SECONDS = 60
_WATCH_SECONDS = 300
_MAX_EVENT_LINE = 8 << 20


def timestamp(now: datetime | None = None) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time is written; the present time by default."""
    return (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Cluster:
    """One authenticated connection to an API server, under one name (`component`: user agent and field manager)."""

    def __init__(self, session: aiohttp.ClientSession, endpoint: Endpoint, component: str) -> None:
        self._session = session
        self.endpoint = endpoint
        self.component = component

    @classmethod
    @asynccontextmanager
    async def connect(cls, kubeconfig: Path, component: str = "sandbox") -> AsyncIterator[Self]:
        """Opens a session with the kubeconfig's current context; nothing is sent yet."""
        endpoint = load_endpoint(kubeconfig)
        connector = aiohttp.TCPConnector(ssl=endpoint.tls or True, limit=0)
        headers = {**endpoint.headers, "User-Agent": component, "Accept": "application/json"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            yield cls(session, endpoint, component)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        media: str = "application/json",
    ) -> Any:
        """One call: the decoded JSON (or the text) of the answer; an ApiError for any status from 400 on."""
        async with self._session.request(
            method,
            self.endpoint.server + path,
            params={**(query or {})},
            data=None if body is None else json.dumps(body),
            headers={} if body is None else {"Content-Type": media},
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
        ) as response:
            answer = await _decoded(response)
            if response.status >= 400:
                raise error_of(response.status, answer)
            return answer

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None if it does not exist."""
        try:
            return dict(await self.request("GET", kind.path(namespace, name)))
        except NotFoundError:
            return None

    async def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> Objects:
        """All objects (of one namespace or of all) that the selectors let through."""
        items, _ = await self.list_with_version(kind, namespace, labels=labels, fields=fields)
        return items

    async def list_with_version(
        self, kind: Kind, namespace: str | None = None, *, labels: str | None = None, fields: str | None = None
    ) -> tuple[Objects, str]:
        """The objects and the resourceVersion from which a watch goes on without a gap."""
        answer = await self.request("GET", kind.path(namespace), query=_selectors(labels, fields))
        # Items of a list carry no type of their own.
        items = [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in answer.get("items") or []]
        return items, str(answer["metadata"]["resourceVersion"])

    async def create(self, kind: Kind, obj: Object) -> Object:
        """Creates it in its metadata.namespace and returns it as stored."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        path = kind.path(obj["metadata"].get("namespace"))
        if kind.namespaced and not obj["metadata"].get("namespace"):
            raise ValueError(f"{kind.kind} {obj['metadata'].get('name')} needs a namespace")
        return dict(await self.request("POST", path, query=self._manager(), body=body))

    async def update(self, kind: Kind, obj: Object, subresource: str | None = None) -> Object:
        """Replaces it; ConflictError if obj carries a resourceVersion that is no longer the present one."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        path = kind.path(obj["metadata"].get("namespace"), obj["metadata"]["name"], subresource)
        return dict(await self.request("PUT", path, query=self._manager(), body=body))

    async def update_status(self, kind: Kind, obj: Object) -> Object:
        """Replaces the status only."""
        return await self.update(kind, obj, "status")

    async def patch(
        self,
        kind: Kind,
        name: str,
        body: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = "merge",
        subresource: str | None = None,
    ) -> Object:
        """Patches it; `apply` is server-side apply, forced, under the component's name."""
        query = self._manager() | ({"force": "true"} if patch_type == "apply" else {})
        path = kind.path(namespace, name, subresource)
        return dict(await self.request("PATCH", path, query=query, body=body, media=_PATCH_MEDIA[patch_type]))

    async def apply(self, kind: Kind, obj: Object) -> Object:
        """Server-side apply, forced, of the whole object under the component's name."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        metadata = obj["metadata"]
        return await self.patch(kind, metadata["name"], body, metadata.get("namespace"), patch_type="apply")

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Asks for deletion; an absent object is fine. ConflictError if `uid` is not that of the present object."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if propagation:
            body["propagationPolicy"] = propagation
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            await self.request("DELETE", kind.path(namespace, name), body=body)
        except NotFoundError:
            return

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str | None = None,
        fields: str | None = None,
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """Yields (ADDED | MODIFIED | DELETED | BOOKMARK, object) until the server ends the stream.

        GoneError: list again. The stream ends by itself after some minutes: watch again from the last version seen.
        """
        query = _selectors(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        async with self._session.get(
            self.endpoint.server + kind.path(namespace),
            params=query,
            timeout=aiohttp.ClientTimeout(total=None, connect=_REQUEST_SECONDS, sock_read=_WATCH_SECONDS + 30),
            read_bufsize=_MAX_EVENT_LINE,
        ) as response:
            if response.status >= 400:
                raise error_of(response.status, await _decoded(response))
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise error_of(500, event["object"])
                yield event["type"], event["object"]

    async def event(self, regarding: Object, event_type: str, reason: str, message: str, component: str) -> None:
        """Records a core/v1 Event (Normal or Warning) about an object; a repeated one counts up instead.

        Never fails the caller: an event that is refused (say, in a namespace that is ending) is only logged.
        """
        metadata = regarding["metadata"]
        identity = "\0".join((metadata.get("uid", ""), event_type, reason, message, component))
        name = f"{metadata['name'][:200]}.{hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()}"
        namespace = metadata.get("namespace") or "default"
        now = timestamp()
        event = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": _reference(regarding),
            "type": event_type,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._record_event(event)
        except (TimeoutError, ApiError, aiohttp.ClientError) as error:
            level = logging.DEBUG if isinstance(error, ForbiddenError | NotFoundError) else logging.WARNING
            _log.log(level, "event %s about %s was not recorded: %s", reason, metadata["name"], error)

    async def _record_event(self, event: Object) -> None:
        try:
            await self.create(EVENT, event)
        except AlreadyExistsError:
            name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
            earlier = await self.get(EVENT, name, namespace)
            count = int((earlier or {}).get("count") or 0) + 1
            await self.patch(EVENT, name, {"count": count, "lastTimestamp": event["lastTimestamp"]}, namespace)

    def _manager(self) -> dict[str, str]:
        return {"fieldManager": self.component}


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    query = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in query.items() if value}


def _reference(obj: Object) -> Object:
    metadata = obj["metadata"]
    reference = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "name": metadata["name"],
        "namespace": metadata.get("namespace"),
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {field: value for field, value in reference.items() if value}


async def _decoded(response: aiohttp.ClientResponse) -> Any:
    text = await response.text()
    return json.loads(text) if response.content_type.endswith("json") else text
