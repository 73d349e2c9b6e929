"""Disks of a real guest whose agent does not answer, cut as a group where the CSI driver has a class for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.guests import DEADLINE, NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.patience import until_none
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    VOLUME_GROUP_SNAPSHOT,
    VOLUME_GROUP_SNAPSHOT_CLASS,
    VOLUME_GROUP_SNAPSHOT_CONTENT,
)
from sandbox.csi.names import DRIVER
from sandbox.demo.guests import Proof
from sandbox.guest.inside import acknowledged_lines

VM = "orders"
MARK = "safehold.dev/group"
_CLASS = "together"


@asynccontextmanager
async def _cut_together(guests: Guests) -> AsyncIterator[None]:
    """While nobody can freeze the guest, and the driver has a class for groups."""
    manifest = {"metadata": {"name": _CLASS}, "driver": DRIVER, "deletionPolicy": "Delete"}
    await guests.world.cluster.create(VOLUME_GROUP_SNAPSHOT_CLASS, manifest)
    try:
        async with guests.fault(VM, "agent-hangs"):
            yield
    finally:
        await guests.world.cluster.delete(VOLUME_GROUP_SNAPSHOT_CLASS, _CLASS)


async def test_disks_that_are_cut_as_a_group_show_one_instant(guests: Guests) -> None:
    """The ledgers of both disks stand where they stood at one moment, and nothing of the group is left."""
    async with _cut_together(guests):
        found = await guests.backed_up("together", VM, level="Crash", freezeTimeout=DEADLINE)
        await guests.writes(VM)
    assert_ready(found)
    consistency, group = found["status"]["consistency"], found["status"]["fallback"]["group"]
    assert (consistency["reached"], consistency["skewMillis"]) == ("Crash", 0)
    assert f"at one instant by VolumeGroupSnapshot {group['name']}" in consistency["reason"]
    assert (group["className"], "the only class" in group["classReason"]) == (_CLASS, True)
    await _assert_nothing_is_left(guests)
    proofs = await guests.proofs(found)
    for proof in proofs:
        assert proof.ok, proof
    _assert_one_instant(acknowledged_lines(guests.state, NAMESPACE, VM), proofs)


async def test_a_group_that_somebody_widened_is_given_up(guests: Guests) -> None:
    """One more claim carries the mark: each disk is cut for itself, the status says why, and all marks go."""
    async with _cut_together(guests):
        await guests.begin_backup("widened", VM, level="Crash", freezeTimeout=DEADLINE)
        backup = await guests.reach(VM_BACKUP, "widened", lambda item: bool((item.get("status") or {}).get("vmUID")))
        labels = {"metadata": {"labels": {MARK: backup["metadata"]["uid"]}}}
        await guests.world.cluster.patch(PERSISTENT_VOLUME_CLAIM, "web-disk0", labels, NAMESPACE)
        found = await guests.ended("widened")
    assert_ready(found)
    assert "took 3 volumes" in found["status"]["fallback"]["ungroupedReason"]
    assert "without a freeze" in found["status"]["consistency"]["reason"]
    await _assert_nothing_is_left(guests)
    for proof in await guests.proofs(found):
        assert proof.ok, proof


async def test_a_controller_that_dies_around_the_cut_goes_on_with_the_group(guests: Guests) -> None:
    """Killed when the group is there: the next controller finds it by its record, and the run has its point."""
    async with _cut_together(guests):
        await guests.begin_backup("killed-group", VM, level="Crash", freezeTimeout=DEADLINE)
        await guests.one(VOLUME_GROUP_SNAPSHOT, NAMESPACE, bool)
        await guests.kill_controller()
        await guests.one(VOLUME_GROUP_SNAPSHOT, NAMESPACE, lambda item: bool(_status(item).get("readyToUse")))
        await guests.start_controller()
        found = await guests.ended("killed-group")
    assert_ready(found)
    assert found["status"]["consistency"]["skewMillis"] == 0
    await _assert_nothing_is_left(guests)


async def _assert_nothing_is_left(guests: Guests) -> None:
    await guests.assert_left_alone(VM)
    cluster = guests.world.cluster
    assert await cluster.list(PERSISTENT_VOLUME_CLAIM, NAMESPACE, labels=MARK) == []

    async def groups() -> list[str]:
        kinds = (VOLUME_GROUP_SNAPSHOT, VOLUME_GROUP_SNAPSHOT_CONTENT)
        return [item["metadata"]["name"] for kind in kinds for item in await cluster.list(kind)]

    # The driver's side deletes them a moment after the run has let them go.
    await until_none(groups, "groups that are left")


def _assert_one_instant(acknowledged: list[tuple[str, int]], proofs: list[Proof]) -> None:
    """Some moment lies between the neighbours of every counter: each was committed after the one before was told."""
    told = {line: position for position, line in enumerate(acknowledged)}
    begin = max(told[proof.disk, proof.counter - 1] for proof in proofs)
    end = min(told[proof.disk, proof.counter + 1] for proof in proofs)
    assert begin < end, (acknowledged[min(begin, end) - 5 : max(begin, end) + 5], proofs)


def _status(item: Object) -> Object:
    return dict(item.get("status") or {})
