"""The bank: an application in a guest that never stops writing to two disks (sandbox/guest/root/bin/bank)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP, VM_RESTORE

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE
from sandbox.guest.inside import guest_exec

OPENING = 100 * 10_000
"""What all accounts of one side hold in the beginning."""


@dataclass(frozen=True, slots=True)
class Books:
    """What both databases of a bank hold, as its guest reads them."""

    integrity: str
    transfers: int
    otherTransfers: int  # noqa: N815  # as the guest writes it
    moved: int
    otherMoved: int  # noqa: N815
    balance: int
    otherBalance: int  # noqa: N815

    @property
    def faults(self) -> list[str]:
        """What a consistent copy cannot show; nothing for a consistent one."""
        claims = {
            f"integrity: {self.integrity}": self.integrity == "ok",
            f"{self.transfers} transfers on one disk, {self.otherTransfers} on the other": (
                (self.transfers, self.moved) == (self.otherTransfers, self.otherMoved)
            ),
            "the first disk's accounts disagree with its transfers": self.balance == OPENING - self.moved,
            "the second disk's accounts disagree with its transfers": self.otherBalance == OPENING + self.otherMoved,
            f"money came or went: {self.balance + self.otherBalance}": self.balance + self.otherBalance == 2 * OPENING,
        }
        return [fault for fault, holds in claims.items() if not holds]


async def open_bank(guests: Guests, vm: str) -> None:
    """Begin to write, and wait for the first transfers."""
    await guest_exec(guests.state, NAMESPACE, vm, "bank open")
    await goes_on(guests, vm, 3)


async def acknowledged(guests: Guests, vm: str) -> int:
    """The number of the last transfer that was committed."""
    return int((await guest_exec(guests.state, NAMESPACE, vm, "bank acknowledged")).strip() or 0)


async def goes_on(guests: Guests, vm: str, transfers: int) -> None:
    """Wait until this many more transfers are committed."""
    reached = '[ "$(bank acknowledged)" -ge $goal ]'
    script = f"goal=$(($(bank acknowledged) + {transfers})); until {reached}; do usleep 50000; done"
    await guest_exec(guests.state, NAMESPACE, vm, script)


async def books(guests: Guests, vm: str) -> Books:
    """What the databases of a guest hold, in which the bank does not write."""
    return Books(**json.loads(await guest_exec(guests.state, NAMESPACE, vm, "bank check")))


async def assert_backup_restores(guests: Guests, vm: str, number: int) -> Object:
    """Back the busy guest up, restore it beside, and prove the copy from inside; nothing of the copy stays."""
    before = await acknowledged(guests, vm)
    # The guest's own hook takes its time on a machine that is busy.
    backup = await guests.backed_up(f"{vm}-{number}", vm, freezeTimeout="2m")
    assert backup["status"].get("restorePoint"), backup["status"]
    after = await acknowledged(guests, vm)
    copy, restore = f"{vm}-copy-{number}", f"{vm}-back-{number}"
    await guests.tenant.apply(guests.tenant.restore(restore, {"backup": backup["metadata"]["name"]}, new_vm=copy))
    restored = await guests.restored(restore)
    assert restored["status"].get("phase") == "Completed", restored["status"]
    await guests.agent(copy)
    found = await books(guests, copy)
    assert found.faults == [], f"round {number}: {found}"
    # One more than was acknowledged last: its commit was on the disk when the lock was taken.
    assert before <= found.transfers <= after + 1
    await goes_on(guests, vm, 1)
    await remove(guests, copy)
    cluster = guests.world.cluster
    await cluster.delete(VM_RESTORE, restore, NAMESPACE)
    await cluster.delete(VM_BACKUP, backup["metadata"]["name"], NAMESPACE)
    return backup


async def remove(guests: Guests, vm: str) -> None:
    """Delete a VM and its disks."""
    cluster = guests.world.cluster
    found = await cluster.get(VIRTUAL_MACHINE, vm, NAMESPACE)
    assert found is not None
    volumes = found["spec"]["template"]["spec"]["volumes"]
    await cluster.delete(VIRTUAL_MACHINE, vm, NAMESPACE)
    await guests.world.until_gone(VIRTUAL_MACHINE, vm, NAMESPACE)
    for volume in volumes:
        await cluster.delete(PERSISTENT_VOLUME_CLAIM, volume["persistentVolumeClaim"]["claimName"], NAMESPACE)
