"""Following a kind: what is told of its objects, and how an interruption is got over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from safehold.errors import ClusterUnavailableError, ForbiddenError, HistoryError, SafeholdError
from safehold.kube import following
from safehold.kube.client import Cluster, Page, WatchEvent
from safehold.kube.following import Scope, follow
from safehold.kube.kinds import CLAIM, CONFIG_MAP

Told = asyncio.Queue[tuple[str, str]]


@asynccontextmanager
async def followed(cluster: Cluster, scope: Scope) -> AsyncIterator[Told]:
    """What is told, as type and name."""
    told: Told = asyncio.Queue()

    def take(event: WatchEvent) -> None:
        told.put_nowait((event.type, event.manifest["metadata"]["name"]))

    task = asyncio.create_task(follow(cluster, scope, take))
    try:
        async with asyncio.timeout(180):
            yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_is_there_and_what_changes_is_told(cluster: Cluster, namespace: str) -> None:
    """The list first, then each change, of the namespace and the labels that were asked for, and without contents."""

    def named(name: str, **labels: str) -> dict[str, object]:
        return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "data": {"key": "value"}}

    await cluster.create(CONFIG_MAP, named("before", by="us"))
    await cluster.create(CONFIG_MAP, named("foreign"))
    scope = Scope(kind=CONFIG_MAP, namespace=namespace, labels="by=us", metadata_only=True)
    async with followed(cluster, scope) as told:
        assert await told.get() == ("LISTED", "before")
        await cluster.create(CONFIG_MAP, named("other"))
        await cluster.create(CONFIG_MAP, named("after", by="us"))
        assert await told.get() == ("ADDED", "after")
        await cluster.merge_patch(CONFIG_MAP, "before", namespace, {"data": {"key": "other"}})
        assert await told.get() == ("MODIFIED", "before")
        await cluster.delete(CONFIG_MAP, "after", namespace)
        assert await told.get() == ("DELETED", "after")


class ScriptedCluster:
    """Answers lists and watches from a script; what is real is tested above."""

    def __init__(self, *watches: SafeholdError | list[str]) -> None:
        self.lists = 0
        self.since: list[str] = []
        self.over = asyncio.Event()
        self._watches = list(watches)

    async def pages(self, *_: object, **_options: object) -> AsyncIterator[Page]:
        """One object, whose name tells how many lists there were."""
        self.lists += 1
        yield Page([{"metadata": {"name": f"listed-{self.lists}"}}], f"{self.lists}00")

    async def watch(self, *_: object, since: str, **_options: object) -> AsyncIterator[WatchEvent]:
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
        (ForbiddenError("no right"), 2, ["100", "200"]),
    ],
)
async def test_an_interrupted_watch_goes_on_or_begins_anew(
    interruption: SafeholdError | list[str], lists: int, since: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last version that was told, also by a bookmark; with a new list only where changes may be lost."""
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(following, "REFUSED_SECONDS", 0.01)
    script = ScriptedCluster(interruption)
    async with followed(script, Scope(kind=CLAIM)) as told:  # type: ignore[arg-type]  # plays the client
        await script.over.wait()
        assert (script.lists, script.since) == (lists, since)
        assert told.qsize() == lists, "bookmarks are no changes"
