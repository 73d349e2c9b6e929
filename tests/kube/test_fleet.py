"""The roster of VMs and Namespaces: filled by a list, kept by a watch, and never by whole objects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from safehold.errors import ClusterUnavailableError, HistoryError, NotServedError, SafeholdError
from safehold.kube.client import Cluster, Page, WatchEvent
from safehold.kube.fleet import Member, Roster
from safehold.kube.kinds import VM, Kind

MACHINE: dict[str, Any] = {"spec": {"template": {"spec": {"domain": {}}}}}
UNSERVED = Kind("example.dev", "v1", "things", "Thing")


def machine(namespace: str, name: str, **labels: str) -> dict[str, Any]:
    """A VirtualMachine."""
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, **MACHINE}


@asynccontextmanager
async def followed(roster: Roster) -> AsyncIterator[Roster]:
    """The roster at work."""
    task = asyncio.create_task(roster.run())
    try:
        async with asyncio.timeout(180):
            yield roster
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(roster: Roster, namespace: str, *names: str, **labels: str) -> list[Member]:
    """Wait until these are the members of a namespace, and the first has these labels."""
    while True:
        found = await roster.members(namespace)
        if [member.name for member in found] == list(names) and (not labels or found[0].labels == labels):
            return found
        await asyncio.sleep(0.02)


async def test_what_comes_changes_and_goes_is_followed(cluster: Cluster, namespace: str) -> None:
    """New VMs, new labels and deletions are seen by the watch; a list is made once."""
    await cluster.create(VM, machine(namespace, "db", tier="gold"))
    async with followed(Roster(cluster, VM)) as roster:
        (found,) = await until(roster, namespace, "db")
        assert found.labels == {"tier": "gold"}
        assert (await roster.member("db", namespace), await roster.member("web", namespace)) == (found, None)
        await cluster.create(VM, machine(namespace, "app"))
        await until(roster, namespace, "app", "db")
        await cluster.merge_patch(VM, "app", namespace, {"metadata": {"labels": {"tier": "silver"}}})
        await until(roster, namespace, "app", "db", tier="silver")
        await cluster.delete(VM, "db", namespace)
        await until(roster, namespace, "app")


async def test_a_vm_that_is_being_deleted_is_no_member(cluster: Cluster, namespace: str) -> None:
    """It would be gone before its backup began."""
    held = machine(namespace, "held")
    held["metadata"]["finalizers"] = ["example.dev/held"]
    await cluster.create(VM, held)
    async with followed(Roster(cluster, VM)) as roster:
        await until(roster, namespace, "held")
        await cluster.delete(VM, "held", namespace)
        await until(roster, namespace)
        await cluster.merge_patch(VM, "held", namespace, {"metadata": {"finalizers": None}})


async def test_members_come_by_namespace_and_name(cluster: Cluster, namespace: str) -> None:
    """The same order each time, of one namespace or of all."""
    for name in ("c", "a", "b"):
        await cluster.create(VM, machine(namespace, name))
    roster = Roster(cluster, VM)
    await roster.refresh()
    everywhere = await roster.members()
    assert [member.name for member in everywhere if member.namespace == namespace] == ["a", "b", "c"]
    assert await roster.members("no-such-namespace") == []


async def test_a_kind_that_is_not_installed_is_said(cluster: Cluster) -> None:
    """Whoever asks for the members learns why there are none to know."""
    async with followed(Roster(cluster, UNSERVED, retry_seconds=0.01)) as roster:
        with pytest.raises(NotServedError, match="install"):
            await roster.members()


class ScriptedCluster:
    """Answers lists and watches from a script; what is real is tested above."""

    def __init__(self, *watches: SafeholdError | list[str]) -> None:
        self.lists = 0
        self.since: list[str] = []
        self._watches = list(watches)
        self.over = asyncio.Event()

    async def pages(self, _: Kind, *, metadata_only: bool) -> AsyncIterator[Page]:
        """One VM, whose name tells how many lists there were."""
        assert metadata_only
        self.lists += 1
        metadata = {"name": f"listed-{self.lists}", "namespace": "shop", "uid": "uid-1"}
        metadata["creationTimestamp"] = "2026-11-22T14:00:00Z"
        yield Page([{"metadata": metadata}], f"{self.lists}00")

    async def watch(self, _: Kind, *, since: str, **_options: object) -> AsyncIterator[WatchEvent]:
        """The next part of the script."""
        self.since.append(since)
        if not self._watches:
            self.over.set()
            await asyncio.Event().wait()
        part = self._watches.pop(0)
        if isinstance(part, SafeholdError):
            raise part
        for version in part:
            yield WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": version}})


@pytest.mark.parametrize(
    ("interruption", "lists", "since"),
    [
        (["107"], 1, ["100", "107"]),
        ([], 1, ["100", "100"]),
        (ClusterUnavailableError("no answer"), 1, ["100", "100"]),
        (HistoryError("too old"), 2, ["100", "200"]),
    ],
)
async def test_an_interrupted_watch_goes_on_or_begins_anew(
    interruption: SafeholdError | list[str], lists: int, since: list[str]
) -> None:
    """From the last version that was told, also by a bookmark; with a new list only where the server forgot it."""
    script = ScriptedCluster(interruption)
    async with followed(Roster(script, VM, retry_seconds=0.01)) as roster:  # type: ignore[arg-type]  # plays the client
        await script.over.wait()
        assert (script.lists, script.since) == (lists, since)
        assert [member.name for member in await roster.members("shop")] == [f"listed-{lists}"]
