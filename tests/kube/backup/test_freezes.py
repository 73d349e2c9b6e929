"""How long a guest was frozen, as a watch of its VMI tells."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest

from safehold.kube.backup import freezes
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.client import Cluster
from safehold.kube.kinds import VMI
from safehold.plan.backup.facts import FreezeFacts


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezes, "LAST_EVENT_SECONDS", 0.3)
    monkeypatch.setattr(freezes, "ESTABLISHED_SECONDS", 1.0)


@pytest.fixture
def ticks() -> Iterator[int]:
    """A clock of which each look is a second later."""
    return count()


async def guest(cluster: Cluster, namespace: str, freeze_status: str | None = None) -> None:
    """A VMI, or the change of its freeze state."""
    if await cluster.get(VMI, "db", namespace) is None:
        metadata = {"name": "db", "namespace": namespace}
        await cluster.create(VMI, {"metadata": metadata, "spec": {"domain": {"devices": {}}}})
    await cluster.merge_patch(VMI, "db", namespace, {"status": {"fsFreezeStatus": freeze_status}})


async def test_a_freeze_and_its_thaw_are_observed(cluster: Cluster, namespace: str, ticks: Iterator[int]) -> None:
    """From the first event that says frozen to the first that does not; the answer stays until the run is over."""
    watches = FreezeWatches(cluster, clock=lambda: float(next(ticks)))
    await guest(cluster, namespace)
    await watches.start("run", namespace, "db", seconds=10)
    await guest(cluster, namespace, "frozen")
    await guest(cluster, namespace)
    for _ in range(2):
        assert await watches.result("run") == FreezeFacts(1000, "Observed")
    watches.forget("run")
    assert await watches.result("run") is None


async def test_a_freeze_without_an_end_is_not_guessed(cluster: Cluster, namespace: str) -> None:
    """No thaw in time: the duration is unknown."""
    watches = FreezeWatches(cluster)
    await guest(cluster, namespace)
    await watches.start("run", namespace, "db", seconds=10)
    await guest(cluster, namespace, "frozen")
    assert await watches.result("run") is None


@pytest.mark.parametrize("frozen", [False, True])
async def test_late_news_is_waited_for_only_of_a_freeze(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, frozen: bool
) -> None:
    """KubeVirt says that it froze nobody: there is nothing to wait for, unless a freeze was seen nevertheless."""
    monkeypatch.setattr(freezes, "LAST_EVENT_SECONDS", 600.0)
    watches = FreezeWatches(cluster)
    await guest(cluster, namespace)
    await watches.start("run", namespace, "db", seconds=60)
    if frozen:
        await guest(cluster, namespace, "frozen")
        await until_seen(watches)
        thaw = asyncio.create_task(guest(cluster, namespace))
    async with asyncio.timeout(180):
        assert (await watches.result("run", froze=False) is not None) is frozen
    if frozen:
        await thaw


async def until_seen(watches: FreezeWatches) -> None:
    """Wait until the watch has told of the freeze."""
    async with asyncio.timeout(180):
        while watches._watches["run"].frozen_at is None:  # noqa: ASYNC110 (nobody else is told)
            await asyncio.sleep(0.01)


async def test_a_freeze_of_somebody_else_is_not_counted(cluster: Cluster, namespace: str) -> None:
    """A guest that was frozen before the capture: the beginning of that freeze was not seen."""
    watches = FreezeWatches(cluster)
    await guest(cluster, namespace, "frozen")
    await watches.start("run", namespace, "db", seconds=10)
    await guest(cluster, namespace)
    assert await watches.result("run") is None


async def test_a_capture_does_not_wait_for_a_guest_that_is_not_there(cluster: Cluster, namespace: str) -> None:
    """Of a halted VM there is no event; the capture goes on after a moment."""
    watches = FreezeWatches(cluster)
    async with asyncio.timeout(9):
        await watches.start("run", namespace, "db", seconds=10)
    watches.forget("run")
    assert await watches.result("run") is None


async def test_starting_twice_keeps_the_first_watch(cluster: Cluster, namespace: str, ticks: Iterator[int]) -> None:
    """A step that is repeated does not lose the beginning of the freeze."""
    watches = FreezeWatches(cluster, clock=lambda: float(next(ticks)))
    await guest(cluster, namespace)
    await watches.start("run", namespace, "db", seconds=10)
    await guest(cluster, namespace, "frozen")
    await watches.start("run", namespace, "db", seconds=10)
    await guest(cluster, namespace)
    assert await watches.result("run") == FreezeFacts(1000, "Observed")
