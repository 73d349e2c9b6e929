"""Databases that take writes throughout are backed up, restored, and proven from inside the restored guest."""

import asyncio
import os
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.bank import Bank, assert_backup_restores, goes_on, torn_books
from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.postgresql_bank import asked, postgresql_bank
from tests.e2e.sqlite_bank import sqlite_bank

from sandbox.guest.errors import GuestError
from sandbox.guest.inside import guest_exec

ROUNDS = int(os.environ.get("ROUNDS", "100"))
"""Of the long test."""
_BANKS = {"sqlite": sqlite_bank, "postgresql": postgresql_bank}
_HOOK = "/etc/qemu/fsfreeze-hook.d/postgresql freeze"
_POSTGRESQL = pytest.mark.parametrize("bank", ["postgresql"], indirect=True)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=_BANKS)
async def bank(guests: Guests, request: pytest.FixtureRequest) -> AsyncIterator[Bank]:
    """A guest with a bank on two disks."""
    async with _BANKS[request.param](guests) as bank:
        yield bank


@pytest.mark.timeout(900)
async def test_a_busy_database_on_two_disks_is_consistent_in_its_copy(guests: Guests, bank: Bank) -> None:
    """With the database's recipe in the guest, a point holds every acknowledged transfer on both disks, whole."""
    backup = await assert_backup_restores(guests, bank, 0)
    assert backup["status"]["consistency"]["reached"] == "Filesystem"
    log = await guest_exec(guests.state, NAMESPACE, bank.vm, "cat /var/log/qga-fsfreeze-hook.log")
    assert re.search(rf"execute \S*/{bank.recipe} freeze\n.*/{bank.recipe} finished with status=0", log), log


@pytest.mark.timeout(900)
async def test_a_torn_copy_is_noticed(guests: Guests, bank: Bank) -> None:
    """Disks that are cut one after the other, without a freeze, do not agree: the proof can fail."""
    found = await torn_books(guests, bank, transfers=30)
    assert any(bank.torn in fault for fault in found.faults), found


@_POSTGRESQL
@pytest.mark.timeout(600)
async def test_the_recipe_for_postgresql_leaves_little_to_replay(guests: Guests, bank: Bank) -> None:
    """Recovery would begin behind all that was written before the hook ran."""
    written = int(await asked(guests, bank, "SELECT pg_current_wal_insert_lsn() - '0/0'"))
    await guest_exec(guests.state, NAMESPACE, bank.vm, _HOOK)
    begins = int(await asked(guests, bank, "SELECT redo_lsn - '0/0' FROM pg_control_checkpoint()"))
    assert begins >= written


@_POSTGRESQL
@pytest.mark.timeout(600)
async def test_a_server_that_hangs_delays_the_freeze_by_seconds_only(guests: Guests, bank: Bank) -> None:
    """The recipe for PostgreSQL gives up a server that does not answer, and says so by its status."""
    server = "$(head -n 1 /data/disk0/postgresql/postmaster.pid)"
    await guest_exec(guests.state, NAMESPACE, bank.vm, f"kill -STOP {server}")
    try:
        async with asyncio.timeout(120):
            with pytest.raises(GuestError, match=r"ended with status 1 .*timeout expired"):
                await guest_exec(guests.state, NAMESPACE, bank.vm, _HOOK)
    finally:
        await guest_exec(guests.state, NAMESPACE, bank.vm, f"kill -CONT {server}")
    await goes_on(guests, bank, 1)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_no_round_finds_an_inconsistency(guests: Guests, bank: Bank) -> None:
    """A hundred times (or ROUNDS): back up, restore, prove; the database never stops writing meanwhile."""
    for number in range(1, ROUNDS + 1):
        await assert_backup_restores(guests, bank, number)
        print(f"{bank.recipe}, round {number} of {ROUNDS}: consistent", flush=True)
