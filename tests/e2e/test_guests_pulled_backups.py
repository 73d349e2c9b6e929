"""Backups of running guests by KubeVirt's own backup: full, then what changed, and whatever comes in between."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import JOB, VIRTUAL_MACHINE_INSTANCE
from sandbox.cluster.kinds import VM_BACKUP as KUBEVIRT_BACKUP

VM = "orders"


async def test_second_backup_reads_what_changed(guests: Guests) -> None:
    """Everything is read once, then little; both points are whole disks at the freeze, and nothing is left."""
    first = await _backed_up(guests, "full")
    assert first["status"]["consistency"]["reached"] == "Filesystem"
    assert first["status"]["consistency"]["frozenObservation"] == "Observed"
    await guests.assert_left_alone(VM)
    await guests.assert_whole(first)
    second = await _backed_up(guests, "changed")
    assert second["status"]["parent"] == first["status"]["restorePoint"]
    assert second["status"]["pull"]["base"] == first["status"]["pull"]["checkpoint"]
    assert second["status"]["bytesRead"] < first["status"]["bytesRead"]
    # The guest writes all the time: most chunks that are read have changed, but for writes of what was there before.
    assert 0 < second["status"]["bytesRead"] <= 2 * second["status"]["bytesChanged"]
    await guests.assert_left_alone(VM)
    await guests.assert_whole(second)


async def test_run_that_ends_early_makes_the_next_a_full_one(guests: Guests) -> None:
    """KubeVirt counts the backup that nobody has read as complete; nothing is built on it."""
    await _backed_up(guests, "before")
    await _begin(guests, "given-up")
    await guests.made_for("given-up", JOB)
    with guests.stopped("objectstore"):
        await guests.container("worker", "backup")
        await guests.world.cluster.delete(VM_BACKUP, "given-up", NAMESPACE)
    await guests.world.until_gone(VM_BACKUP, "given-up", NAMESPACE)
    await guests.assert_left_alone(VM)
    after = await _backed_up(guests, "after")
    assert "base" not in after["status"]["pull"]
    assert "no complete restore point" in after["status"]["pull"]["fullReason"]
    await guests.assert_whole(after)


async def test_guest_that_was_restarted_is_read_in_full(guests: Guests) -> None:
    """The bitmaps of the guest before are not asked; the point is right."""
    await _backed_up(guests, "before-restart")
    vmi = await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, bool)
    await guests.world.cluster.delete(VIRTUAL_MACHINE_INSTANCE, VM, NAMESPACE)
    await guests.reach(
        VIRTUAL_MACHINE_INSTANCE,
        VM,
        lambda found: found["metadata"]["uid"] != vmi["metadata"]["uid"] and _tracked(found),
    )
    await guests.agent(VM)
    after = await _backed_up(guests, "after-restart")
    assert "base" not in after["status"]["pull"]
    await guests.assert_whole(after)


async def _while_it_is_asked_for(guests: Guests, name: str) -> None:
    with guests.stopped("csi"):
        await _begin(guests, name)
        await guests.one(KUBEVIRT_BACKUP, NAMESPACE, bool)
        await guests.kill_controller()


async def _while_the_worker_pulls(guests: Guests, name: str) -> None:
    await _begin(guests, name)
    await guests.made_for(name, JOB)
    with guests.stopped("objectstore"):
        await guests.container("worker", "backup")
        await guests.kill_controller()


async def _while_it_is_taken_away(guests: Guests, name: str) -> None:
    await _begin(guests, name)
    await guests.reach(VM_BACKUP, name, lambda found: "restorePoint" in (found.get("status") or {}))
    await guests.kill_controller()


@pytest.mark.parametrize("come_to", [_while_it_is_asked_for, _while_the_worker_pulls, _while_it_is_taken_away])
async def test_pull_completes_after_the_controller_was_killed(
    guests: Guests, come_to: Callable[[Guests, str], Awaitable[None]]
) -> None:
    """The next controller completes the point, which is right, tells the tracker, and leaves nothing."""
    name = f"pull{come_to.__name__}".replace("_", "-")
    await come_to(guests, name)
    await guests.start_controller()
    backup = await guests.ended(name)
    assert_ready(backup)
    assert _engines(backup) == {"KubeVirt"}
    await guests.assert_left_alone(VM)
    await guests.assert_whole(backup)
    following = await _backed_up(guests, f"{name}-following")
    assert following["status"]["pull"]["base"] == backup["status"]["pull"]["checkpoint"]


async def test_guest_that_is_not_tracked_is_scanned(guests: Guests) -> None:
    """Another engine takes over where one is named, and says why; without one the run fails with a sentence."""
    await guests.tenant.apply(guests.tenant.backup("untracked", "web", changedBlocks={"engines": ["KubeVirt", "Scan"]}))
    scanned = await guests.ended("untracked")
    assert_ready(scanned)
    assert _engines(scanned) == {"Scan"}
    assert "changed blocks are not tracked" in scanned["status"]["volumes"][0]["engineReason"]
    await guests.tenant.apply(guests.tenant.backup("only", "web", changedBlocks={"engines": ["KubeVirt"]}))
    assert_refused(await guests.ended("only"), "EngineNotAvailable", "name another engine behind it")
    await guests.assert_left_alone("web")


async def _backed_up(guests: Guests, name: str, **changed_blocks: Any) -> Object:
    """A VMBackup of the tracked VM that KubeVirt's own backup was read for."""
    await _begin(guests, name, **changed_blocks)
    backup = await guests.ended(name)
    assert_ready(backup)
    assert _engines(backup) == {"KubeVirt"}
    return backup


async def _begin(guests: Guests, name: str, **changed_blocks: Any) -> None:
    await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, _tracked)
    await guests.begun(VM)
    spec = {"engines": ["KubeVirt", "Scan"], **changed_blocks}
    await guests.tenant.apply(guests.tenant.backup(name, VM, changedBlocks=spec))


def _engines(backup: Object) -> set[str]:
    return {volume["engine"] for volume in backup["status"]["volumes"]}


def _tracked(vmi: Object) -> bool:
    return ((vmi.get("status") or {}).get("changedBlockTracking") or {}).get("state") == "Enabled"
