"""Banks: applications in a guest that never stop writing to two disks, and how their copies are proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP, VM_RESTORE

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE, VOLUME_SNAPSHOT
from sandbox.guest.inside import guest_counters, guest_exec

_CHECK_SECONDS = 400.0
"""A server recovers and every page is read, in emulation, on a machine that is busy."""


class Books(Protocol):
    """What a bank's databases hold."""

    @property
    def last(self) -> Mapping[str, int]:
        """Lane → number of its last transfer."""

    @property
    def faults(self) -> list[str]:
        """What a consistent copy cannot show; nothing for a consistent one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """An application in the guest of `vm`, begun by its command `program`, and the recipe that its database has."""

    vm: str
    program: str
    recipe: str
    lanes: tuple[str, ...]
    """The counters by which it acknowledges transfers."""
    images: Mapping[str, str]
    """The container disks that its VM needs: volume → image."""
    flush: str
    """The line of shell that brings to the disks what the database holds in memory."""
    torn: str
    """What its books complain of when the disks were cut one after the other."""
    read: Callable[[str], Books]
    """Makes books of what `program check` prints."""


async def open_bank(guests: Guests, bank: Bank) -> None:
    """Begin to write, and wait for the first transfers."""
    await guest_exec(guests.state, NAMESPACE, bank.vm, f"{bank.program} open", _CHECK_SECONDS)
    await goes_on(guests, bank, 3)


def acknowledged(guests: Guests, bank: Bank) -> dict[str, int]:
    """Lane → number of the last transfer whose commit the guest has told."""
    counters = guest_counters(guests.state, NAMESPACE, bank.vm)
    return {lane: counters.get(lane, 0) for lane in bank.lanes}


async def goes_on(guests: Guests, bank: Bank, transfers: int) -> None:
    """Wait until this many more transfers are committed in every lane."""
    goal = {lane: counter + transfers for lane, counter in acknowledged(guests, bank).items()}
    await guests.acknowledges(bank.vm, goal)


async def books(guests: Guests, bank: Bank, vm: str) -> Books:
    """What the databases hold in a guest in which the bank does not write."""
    return bank.read(await guest_exec(guests.state, NAMESPACE, vm, f"{bank.program} check", _CHECK_SECONDS))


async def assert_backup_restores(guests: Guests, bank: Bank, number: int) -> Object:
    """Back the busy guest up, restore it beside, and prove the copy from inside; nothing of the copy stays.

    No acknowledged transfer is lost, and none is invented: one more than was acknowledged had its commit on the disk,
    and was to be told after the thaw.
    """
    vm = bank.vm
    before = acknowledged(guests, bank)
    backup = await guests.backed_up(f"{vm}-{number}", vm)
    assert backup["status"].get("restorePoint"), backup["status"]
    frozen = guests.counters_at(backup)
    copy, restore = f"{vm}-copy-{number}", f"{vm}-back-{number}"
    await guests.tenant.apply(guests.tenant.restore(restore, {"backup": backup["metadata"]["name"]}, new_vm=copy))
    restored = await guests.restored(restore)
    assert restored["status"].get("phase") == "Completed", restored["status"]
    await guests.agent(copy)
    found = await books(guests, bank, copy)
    assert found.faults == [], f"round {number}: {found}"
    for lane in bank.lanes:
        assert before[lane] <= frozen[lane] <= found.last[lane] <= frozen[lane] + 1, f"round {number}, {lane}: {found}"
    await goes_on(guests, bank, 1)
    await remove(guests, copy)
    cluster = guests.world.cluster
    await cluster.delete(VM_RESTORE, restore, NAMESPACE)
    await cluster.delete(VM_BACKUP, backup["metadata"]["name"], NAMESPACE)
    return backup


async def torn_books(guests: Guests, bank: Bank, transfers: int) -> Books:
    """The books of a copy whose second disk was cut so many transfers after the first, without a freeze."""
    copy = f"{bank.vm}-torn"
    snapshots = [f"{copy}-disk{number}" for number in (0, 1)]
    await _cut(guests, f"{bank.vm}-disk0", snapshots[0])
    await goes_on(guests, bank, transfers)
    await guest_exec(guests.state, NAMESPACE, bank.vm, bank.flush)
    await _cut(guests, f"{bank.vm}-disk1", snapshots[1])
    sources = [{"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name} for name in snapshots]
    await guests.boot(copy, "Block", "Filesystem", sources=sources, images=bank.images)
    found = await books(guests, bank, copy)
    await remove(guests, copy)
    for name in snapshots:
        await guests.world.cluster.delete(VOLUME_SNAPSHOT, name, NAMESPACE)
    return found


async def remove(guests: Guests, vm: str) -> None:
    """Delete a VM and its disks."""
    cluster = guests.world.cluster
    found = await cluster.get(VIRTUAL_MACHINE, vm, NAMESPACE)
    assert found is not None
    volumes = found["spec"]["template"]["spec"]["volumes"]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    await cluster.delete(VIRTUAL_MACHINE, vm, NAMESPACE)
    await guests.world.until_gone(VIRTUAL_MACHINE, vm, NAMESPACE)
    for claim in claims:
        await cluster.delete(PERSISTENT_VOLUME_CLAIM, claim, NAMESPACE)


async def _cut(guests: Guests, claim: str, name: str) -> None:
    source = {"source": {"persistentVolumeClaimName": claim}}
    snapshot = guests.tenant.manifest("snapshot.storage.k8s.io/v1", "VolumeSnapshot", name, source)
    await guests.world.apply(snapshot)
    await guests.world.until(VOLUME_SNAPSHOT, name, NAMESPACE, _is_readable)


def _is_readable(snapshot: Object) -> bool:
    return bool((snapshot.get("status") or {}).get("readyToUse"))
