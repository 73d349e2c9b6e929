"""A database that takes writes throughout is backed up, restored, and proven from inside the restored guest."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.bank import assert_backup_restores, books, goes_on, open_bank, remove
from tests.e2e.guests import NAMESPACE, Guests

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import VOLUME_SNAPSHOT
from sandbox.guest.inside import guest_exec

VM = "orders"
ROUNDS = int(os.environ.get("ROUNDS", "100"))
"""Of the long test."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bank(guests: Guests) -> AsyncIterator[str]:
    """A guest with a bank on two disks."""
    await open_bank(guests, VM)
    yield VM
    await guest_exec(guests.state, NAMESPACE, VM, "bank close")


@pytest.mark.timeout(600)
async def test_a_busy_database_on_two_disks_is_consistent_in_its_copy(guests: Guests, bank: str) -> None:
    """With the recipe for SQLite in the guest, a point has both databases at the same transfer, and all of it."""
    backup = await assert_backup_restores(guests, bank, 0)
    assert backup["status"]["consistency"]["reached"] == "Filesystem"
    log = await guest_exec(guests.state, NAMESPACE, bank, "cat /var/log/qga-fsfreeze-hook.log")
    assert "fsfreeze-hook.d/sqlite finished with status=0" in log
    await goes_on(guests, bank, 1)


@pytest.mark.timeout(600)
async def test_a_torn_copy_is_noticed(guests: Guests, bank: str) -> None:
    """Disks that are cut one after the other, without a freeze, have different transfers: the proof can fail."""
    tenant, world = guests.tenant, guests.world
    for number in (0, 1):
        source = {"persistentVolumeClaimName": f"{bank}-disk{number}"}
        snapshot = tenant.manifest(
            "snapshot.storage.k8s.io/v1", "VolumeSnapshot", f"torn-disk{number}", {"source": source}
        )
        await world.apply(snapshot)
        await world.until(VOLUME_SNAPSHOT, f"torn-disk{number}", NAMESPACE, _is_readable)
        await goes_on(guests, bank, 5)
    sources = [
        {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": f"torn-disk{n}"} for n in (0, 1)
    ]
    await guests.boot("torn", "Block", "Filesystem", sources=sources)
    found = await books(guests, "torn")
    assert found.transfers + 5 <= found.otherTransfers
    assert any("transfers on one disk" in fault for fault in found.faults)
    await remove(guests, "torn")
    for number in (0, 1):
        await world.cluster.delete(VOLUME_SNAPSHOT, f"torn-disk{number}", NAMESPACE)


def _is_readable(snapshot: Object) -> bool:
    return bool((snapshot.get("status") or {}).get("readyToUse"))


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_no_round_finds_an_inconsistency(guests: Guests, bank: str) -> None:
    """A hundred times (or ROUNDS): back up, restore, prove; the database never stops writing meanwhile."""
    for number in range(1, ROUNDS + 1):
        await assert_backup_restores(guests, bank, number)
        print(f"round {number} of {ROUNDS}: consistent", flush=True)
