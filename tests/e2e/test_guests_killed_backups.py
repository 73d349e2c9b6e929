"""The controller, or its worker, is killed in the middle of a backup of a running guest."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest
from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import OPERATOR

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import JOB, PERSISTENT_VOLUME_CLAIM, POD, VM_SNAPSHOT, VOLUME_SNAPSHOT

VM = "orders"


async def _while_the_guest_is_frozen(guests: Guests, name: str) -> None:
    with guests.stopped("csi"):
        await guests.begin_backup(name, VM)
        await guests.frozen(VM)
        await guests.kill_controller()


async def _while_snapshots_are_paired(guests: Guests, name: str) -> None:
    await guests.begin_backup(name, VM)
    await guests.one(VM_SNAPSHOT, NAMESPACE, lambda found: _owner(found) == name and _is_ready(found))
    with guests.stopped("csi"):
        await guests.made_for(name, VOLUME_SNAPSHOT)
        await guests.kill_controller()


async def _while_volumes_are_made(guests: Guests, name: str) -> None:
    await guests.begin_backup(name, VM)
    await guests.made_for(name, PERSISTENT_VOLUME_CLAIM)
    await guests.kill_controller()


async def _while_the_worker_runs(guests: Guests, name: str) -> None:
    await _begin_and_hold_worker(guests, name, guests.kill_controller)


async def _while_it_cleans_up(guests: Guests, name: str) -> None:
    await guests.begin_backup(name, VM)
    await guests.made_for(name, JOB)
    with ExitStack() as deletions:
        with guests.stopped("objectstore"):
            await guests.container("worker", "backup")
            # What the run made does not go, and so the run does not end, before the controller dies.
            deletions.enter_context(guests.stopped("csi"))
        await guests.reach(VM_BACKUP, name, lambda found: "restorePoint" in (found.get("status") or {}))
        await guests.kill_controller()


async def _begin_and_hold_worker(guests: Guests, name: str, kill: Callable[[], Awaitable[None]]) -> None:
    """Kill something while the worker gets nowhere, as its object store does not answer."""
    await guests.begin_backup(name, VM)
    await guests.made_for(name, JOB)
    with guests.stopped("objectstore"):
        await guests.container("worker", "backup")
        await kill()


@pytest.mark.parametrize(
    "come_to",
    [
        _while_the_guest_is_frozen,
        _while_snapshots_are_paired,
        _while_volumes_are_made,
        _while_the_worker_runs,
        _while_it_cleans_up,
    ],
)
async def test_backup_completes_after_the_controller_was_killed(
    guests: Guests, come_to: Callable[[Guests, str], Awaitable[None]]
) -> None:
    """The guest thaws without the controller; the next one completes the point, which is right, and leaves nothing."""
    name = come_to.__name__.strip("_").replace("_", "-")
    await come_to(guests, name)
    found = await guests.reach(VM_BACKUP, name, bool)
    assert "completionTime" not in found["status"]
    await guests.frozen(VM, holds=False)
    await guests.writes(VM)
    await guests.start_controller()
    backup = await guests.ended(name)
    assert_ready(backup)
    assert backup["status"]["consistency"]["reached"] == "Filesystem"
    await guests.assert_left_alone(VM)
    await guests.assert_whole(backup)


async def test_point_that_the_killed_controller_never_heard_of_is_its_own(guests: Guests) -> None:
    """The worker ends while there is no controller; the next one finds the one point that there is, and no second."""
    name = "unheard"
    await _while_the_worker_runs(guests, name)
    job = await guests.made_for(name, JOB, lambda found: bool((found.get("status") or {}).get("succeeded")))
    await guests.start_controller()
    backup = await guests.ended(name)
    assert_ready(backup)
    assert job["metadata"]["name"] == backup["status"]["jobName"]
    await guests.assert_left_alone(VM)
    await guests.assert_whole(backup)


@pytest.mark.parametrize("how", ["killed", "deleted"])
async def test_backup_completes_after_its_worker_was_lost(guests: Guests, how: str) -> None:
    """A worker that is killed, or whose pod is deleted, is started again by its Job, and the point is right."""
    name = f"worker-{how}"

    async def lose() -> None:
        if how == "killed":
            guests.kill_container("worker", "backup")
        for pod in [] if how == "killed" else await _pods_of_jobs(guests):
            await guests.world.cluster.delete(POD, pod["metadata"]["name"], OPERATOR, grace_seconds=0)

    await _begin_and_hold_worker(guests, name, lose)
    backup = await guests.ended(name)
    assert_ready(backup)
    await guests.assert_left_alone(VM)
    await guests.assert_whole(backup)


def _owner(found: Object) -> str | None:
    return (found["metadata"].get("labels") or {}).get("safehold.dev/owner-name")


def _is_ready(found: Object) -> bool:
    return bool((found.get("status") or {}).get("readyToUse"))


async def _pods_of_jobs(guests: Guests) -> list[Object]:
    return await guests.world.cluster.list(POD, OPERATOR, labels="batch.kubernetes.io/job-name")
