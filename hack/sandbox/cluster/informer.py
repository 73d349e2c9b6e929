"""A cache of all objects of one kind, kept current by list and watch."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import aiohttp

from sandbox.cluster.client import Cluster, Object, Objects
from sandbox.cluster.errors import ApiError, GoneError
from sandbox.cluster.kinds import Kind

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is ""."""

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


def key_of(obj: Object) -> Key:
    """The object's key in a cache or queue."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


class Informer:
    """List and watch of one kind: reads come from memory, subscribers hear of every change after it is in the cache."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._cluster = cluster
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._objects: dict[Key, Object] = {}
        self._version = ""
        self._subscribers: list[Callable[[Object], None]] = []

    def subscribe(self, on_change: Callable[[Object], None]) -> None:
        """Calls back with the object, new, changed or just deleted, and once for each that is already there."""
        self._subscribers.append(on_change)
        for obj in self._objects.values():
            on_change(obj)

    def get(self, name: str, namespace: str = "") -> Object | None:
        """The object as last seen, or None. Not to be changed in place: it is the cache's."""
        return self._objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> Objects:
        """All objects as last seen, of one namespace or of all."""
        return [obj for (where, _), obj in self._objects.items() if namespace in (None, where)]

    async def run(self) -> None:
        """Runs until cancelled; a broken connection is taken up again from the last version seen."""
        while True:
            try:
                if not self._version:
                    await self._relist()
                await self._follow()
            except GoneError:
                self._version = ""
            except (TimeoutError, ApiError, aiohttp.ClientError, ConnectionError) as error:
                _log.info("%s: %s; trying again", self.kind.plural, error or type(error).__name__)
                if isinstance(error, ApiError):
                    self._version = ""
                # Many parts must not come back to a restarted server in step.
                await asyncio.sleep(_RETRY_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, no secret)

    async def _relist(self) -> None:
        items, version = await self._cluster.list_with_version(
            self.kind, self._namespace, labels=self._labels, fields=self._fields
        )
        before, self._objects = self._objects, {key_of(item): item for item in items}
        self._version = version
        gone = [obj for key, obj in before.items() if key not in self._objects]
        known = {key: obj["metadata"].get("resourceVersion") for key, obj in before.items()}
        changed = [item for item in items if known.get(key_of(item)) != item["metadata"].get("resourceVersion")]
        self.synced.set()
        for obj in gone + changed:
            self._announce(obj)

    async def _follow(self) -> None:
        async for event, obj in self._cluster.watch(
            self.kind, self._namespace, resource_version=self._version, labels=self._labels, fields=self._fields
        ):
            self._version = obj["metadata"]["resourceVersion"]
            if event == "BOOKMARK":
                continue
            if event == "DELETED":
                self._objects.pop(key_of(obj), None)
            else:
                self._objects[key_of(obj)] = obj
            self._announce(obj)

    def _announce(self, obj: Object) -> None:
        for on_change in self._subscribers:
            on_change(obj)
