"""A thin typed client over Kubernetes objects as plain dictionaries. Everything else in `kube` speaks through it."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import aiohttp

from safehold.errors import ConflictError, InvalidObjectError, NotFoundError
from safehold.kube.connection import JSON, Connection, refusal, unavailable
from safehold.kube.kinds import POD, Kind

Manifest = dict[str, Any]
"""A Kubernetes object as the API answers it."""
FIELD_MANAGER = "safehold-controller"
PAGE_OBJECTS = 500
"""Objects in one answer to a list: a few MiB at a time, however many there are."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `resource_version` is the whole list's, from which a watch goes on."""

    items: list[Manifest]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch: `type` is ADDED, MODIFIED or DELETED; BOOKMARK only where a watch goes on from a version."""

    type: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Cluster:
    """The verbs. Every refusal is an error of `safehold.errors`; nothing is retried here, callers run again."""

    connection: Connection

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, kubeconfig: Path | None = None, *, timeout_seconds: float = 30.0
    ) -> AsyncIterator["Cluster"]:
        """With a kubeconfig, or as the pod's service account; closed on leaving."""
        connection = await Connection.open(kubeconfig, timeout_seconds=timeout_seconds)
        try:
            yield cls(connection)
        finally:
            await connection.close()

    def as_service_account(self, namespace: str, name: str) -> "Cluster":
        """The same connection, acting with the rights of a service account; the server adds its groups."""
        headers = {"Impersonate-User": f"system:serviceaccount:{namespace}:{name}"}
        return Cluster(replace(self.connection, headers=headers))

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """One object, or None when it does not exist."""
        try:
            found: Manifest = await self.connection.json(
                "GET", kind.path(namespace, name), doing=f"get {kind.kind} {_called(name, namespace)}"
            )
        except NotFoundError:
            return None
        return found

    async def read(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest:
        """One object that must exist; NotFoundError otherwise."""
        found = await self.get(kind, name, namespace)
        if found is None:
            raise NotFoundError(f"{kind.kind} {_called(name, namespace)} does not exist")
        return found

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str = "",
        fields: str = "",
    ) -> list[Manifest]:
        """All objects of a namespace (or of all), by label and field selectors."""
        return [item async for page in self.pages(kind, namespace, labels=labels, fields=fields) for item in page.items]

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | str = "",
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Page]:
        """A list page by page, for what may be too much at once. `metadata_only`: the objects without anything else."""
        query: dict[str, str | int | bool] = {"limit": PAGE_OBJECTS}
        if labels:
            query["labelSelector"] = labels if isinstance(labels, str) else label_selector(labels)
        if fields:
            query["fieldSelector"] = fields
        accept = _metadata_as("PartialObjectMetadataList") if metadata_only else JSON
        doing = f"list {kind.plural}"
        while True:
            page = await self.connection.json("GET", kind.path(namespace), query=query, accept=accept, doing=doing)
            listed = page.get("metadata") or {}
            items = [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in page.get("items") or []]
            yield Page(items, str(listed.get("resourceVersion") or ""))
            if not listed.get("continue"):
                return
            query["continue"] = listed["continue"]

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create; ConflictError when the name is taken."""
        name, namespace = _name_of(manifest), _namespace_of(manifest)
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
        created: Manifest = await self.connection.json(
            "POST",
            kind.path(namespace),
            query={"fieldManager": FIELD_MANAGER},
            body=body,
            doing=f"create {kind.kind} {_called(name, namespace)}",
        )
        return created

    async def create_if_absent(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Create, or answer with what has the name already; the caller decides whether that is its own."""
        try:
            return await self.create(kind, manifest)
        except ConflictError:
            existing = await self.get(kind, _name_of(manifest), _namespace_of(manifest))
            if existing is None:  # deleted between the two calls
                raise
            return existing

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> bool:
        """Ask for deletion; False when there was nothing. An object of another `uid` stays: ConflictError."""
        body: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self.connection.json(
                "DELETE",
                kind.path(namespace, name),
                body=body,
                doing=f"delete {kind.kind} {_called(name, namespace)}",
            )
        except NotFoundError:
            return False
        return True

    async def merge_patch(
        self, kind: Kind, name: str, namespace: str | None, patch: Manifest, *, subresource: str | None = None
    ) -> Manifest:
        """RFC 7386. A `metadata.resourceVersion` or `metadata.uid` in it is a guard: ConflictError if it differs."""
        return await self._patch(kind, name, namespace, patch, "application/merge-patch+json", subresource)

    async def json_patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        operations: Sequence[Manifest],
        *,
        subresource: str | None = None,
    ) -> Manifest:
        """RFC 6902. When a `test` operation does not hold, the object changed meanwhile: ConflictError."""
        try:
            return await self._patch(
                kind, name, namespace, list(operations), "application/json-patch+json", subresource
            )
        except InvalidObjectError as error:
            # The server answers a failed test as 422 without naming the operation.
            if any(operation["op"] == "test" for operation in operations):
                raise ConflictError(error.what, found=error.found) from error
            raise

    async def apply(
        self, kind: Kind, manifest: Manifest, *, subresource: str | None = None, manager: str = FIELD_MANAGER
    ) -> Manifest:
        """Server-side apply: `manifest` is all that `manager` owns; it takes fields over from others."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
        return await self._patch(
            kind,
            _name_of(manifest),
            _namespace_of(manifest),
            body,
            "application/apply-patch+yaml",
            subresource,
            query={"fieldManager": manager, "force": True},
        )

    async def put(
        self, kind: Kind, name: str, namespace: str | None, *, subresource: str, body: Manifest | None = None
    ) -> None:
        """Call a subresource that acts, such as `unfreeze` or `stop`; its answer has no content."""
        response = await self.connection.send(
            "PUT",
            kind.path(namespace, name, subresource),
            body=body,
            doing=f"{subresource} {kind.kind} {_called(name, namespace)}",
        )
        response.release()

    async def pod_log(
        self, namespace: str, name: str, *, container: str, tail_lines: int, limit_bytes: int | None = None
    ) -> str:
        """The end of a container's log; empty when the container has not started."""
        query: dict[str, str | int | bool] = {"container": container, "tailLines": tail_lines}
        if limit_bytes:
            query["limitBytes"] = limit_bytes
        doing = f"read the log of Pod {namespace}/{name}"
        try:
            response = await self.connection.send("GET", POD.path(namespace, name, "log"), query=query, doing=doing)
            return await response.text(errors="replace")
        except NotFoundError:
            return ""
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(doing, error) from error

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        timeout_seconds: int,
        since: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[WatchEvent]:
        """Changes until the timeout; without `since`, a list's version, current objects come first (as ADDED).

        A HistoryError says that the version is too old. `metadata_only`: the objects without anything else.
        """
        query: dict[str, str | int | bool] = {"watch": True, "timeoutSeconds": timeout_seconds}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        if since:
            query |= {"resourceVersion": since, "allowWatchBookmarks": True}
        doing = f"watch {kind.plural}"
        try:
            response = await self.connection.send(
                "GET",
                kind.path(namespace),
                query=query,
                accept=_metadata_as("PartialObjectMetadata") if metadata_only else JSON,
                doing=doing,
                timeout_seconds=timeout_seconds + 10.0,
            )
            async with response:
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise refusal(doing, int(event["object"].get("code") or 500), json.dumps(event["object"]))
                    yield WatchEvent(event["type"], event["object"])
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(doing, error) from error

    async def _patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        body: object,
        content_type: str,
        subresource: str | None,
        query: Mapping[str, str | int | bool] | None = None,
    ) -> Manifest:
        patched: Manifest = await self.connection.json(
            "PATCH",
            kind.path(namespace, name, subresource),
            query=query or {"fieldManager": FIELD_MANAGER},
            body=body,
            content_type=content_type,
            doing=f"patch {kind.kind} {_called(name, namespace)}",
        )
        return patched


def label_selector(labels: Mapping[str, str]) -> str:
    """`a=1,b=2`, as the API's `labelSelector` wants it."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _metadata_as(form: str) -> str:
    """Servers that cannot leave anything out (aggregated ones need not) answer with whole objects."""
    return f"{JSON};as={form};v=v1;g=meta.k8s.io,{JSON}"


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """A stream's lines, however long: aiohttp's own iterator gives up at 128 KiB, which one object may exceed."""
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line


def _called(name: str, namespace: str | None) -> str:
    return f"{namespace}/{name}" if namespace else name


def _name_of(manifest: Manifest) -> str:
    name: str = manifest["metadata"]["name"]
    return name


def _namespace_of(manifest: Manifest) -> str | None:
    namespace: str | None = manifest["metadata"].get("namespace")
    return namespace
