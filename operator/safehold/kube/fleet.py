"""Names and labels of all VirtualMachines and Namespaces, kept by one list and one watch each.

Policies select by nothing else, so only metadata is asked for, and of that only what selectors look at is kept: 5,000
VMs, each of 10 KiB and more, are a few MiB here, and no policy's look costs a list of them.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from safehold.errors import HistoryError, SafeholdError
from safehold.kube.client import Cluster, Manifest, WatchEvent
from safehold.kube.kinds import NAMESPACE, VM, Kind

logger = logging.getLogger(__name__)

WATCH_SECONDS = 120
"""How long one watch lasts: one that hangs without a word leaves out no more than that."""
RETRY_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
"""Between two watches, so that a server that ends them at once is not asked without a break."""


@dataclass(frozen=True, slots=True)
class Member:
    """An object as selectors see it. The namespace of a cluster-wide one is empty."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    uid: str
    created: datetime


@dataclass(slots=True)
class Roster:
    """All objects of one kind that nobody deletes, as members. `run` keeps it; `members` waits for its first list."""

    cluster: Cluster
    kind: Kind
    retry_seconds: float = RETRY_SECONDS
    _members: dict[str, dict[str, Member]] = field(default_factory=dict)
    """By namespace and name."""
    _version: str = ""
    """The version that the members are of; empty: they have to be listed."""
    _failure: SafeholdError | None = None
    """Why they cannot be listed."""
    _looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def members(self, namespace: str | None = None) -> list[Member]:
        """Those of one namespace, or of all, in the order of their names; the error where they cannot be listed."""
        await self._looked.wait()
        if self._failure is not None:
            raise self._failure
        places = [self._members.get(namespace, {})] if namespace else self._members.values()
        return sorted((member for place in places for member in place.values()), key=_place)

    async def member(self, name: str, namespace: str = "") -> Member | None:
        """The one of that name, as far as the watch has told; the error where they cannot be listed."""
        await self._looked.wait()
        if self._failure is not None:
            raise self._failure
        return self._members.get(namespace, {}).get(name)

    async def refresh(self) -> None:
        """List all of them."""
        members: dict[str, dict[str, Member]] = {}
        version = ""
        async for page in self.cluster.pages(self.kind, metadata_only=True):
            version = page.resource_version
            for found in page.items:
                _put(members, found)
        self._members, self._version, self._failure = members, version, None
        self._looked.set()

    async def run(self) -> None:
        """Until cancelled; after an interruption it goes on where it was, or lists again."""
        while True:
            try:
                if not self._version:
                    await self.refresh()
                await self._follow()
                await asyncio.sleep(_PAUSE_SECONDS)
            except HistoryError:
                self._version = ""
            except SafeholdError as error:
                await self._take_breath(error)

    async def _follow(self) -> None:
        events = self.cluster.watch(self.kind, since=self._version, timeout_seconds=WATCH_SECONDS, metadata_only=True)
        async for event in events:
            self._take(event)
            self._version = event.manifest["metadata"]["resourceVersion"]

    def _take(self, event: WatchEvent) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            _put(self._members, event.manifest)
        elif event.type == "DELETED":
            _drop(self._members, event.manifest)

    async def _take_breath(self, error: SafeholdError) -> None:
        if not error.retryable:
            self._version = ""
        if not self._version:
            self._failure = error
            self._looked.set()
        logger.info("%s are not followed: %s; again in %.0f s", self.kind.plural, error, self.retry_seconds)
        await asyncio.sleep(self.retry_seconds)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What policies select from."""

    machines: Roster
    namespaces: Roster

    @classmethod
    def of(cls, cluster: Cluster) -> Self:
        """Of a whole cluster."""
        return cls(Roster(cluster, VM), Roster(cluster, NAMESPACE))

    async def run(self) -> None:
        """Keep both until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.machines.run(), name="machines")
            group.create_task(self.namespaces.run(), name="namespaces")


def _put(members: dict[str, dict[str, Member]], found: Manifest) -> None:
    metadata = found["metadata"]
    if "deletionTimestamp" in metadata:
        _drop(members, found)
        return
    # Thousands of objects share a few namespaces, label keys and values.
    labels = {sys.intern(key): sys.intern(value) for key, value in (metadata.get("labels") or {}).items()}
    namespace = sys.intern(metadata.get("namespace") or "")
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    member = Member(namespace, metadata["name"], labels, metadata["uid"], created)
    members.setdefault(namespace, {})[metadata["name"]] = member


def _drop(members: dict[str, dict[str, Member]], found: Manifest) -> None:
    namespace = found["metadata"].get("namespace") or ""
    place = members.get(namespace, {})
    place.pop(found["metadata"]["name"], None)
    if not place:
        members.pop(namespace, None)


def _place(member: Member) -> tuple[str, str]:
    return member.namespace, member.name
