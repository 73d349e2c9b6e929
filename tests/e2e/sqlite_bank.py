"""The bank on SQLite: two databases on two disks, in one transaction (sandbox/guest/root/bin/bank)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.e2e.bank import Bank, open_bank
from tests.e2e.guests import NAMESPACE, Guests

from sandbox.guest.inside import guest_exec

OPENING = 100 * 10_000
"""What all accounts of one side hold in the beginning."""


@dataclass(frozen=True, slots=True)
class SqliteBooks:
    """What both databases hold, as the guest reads them."""

    integrity: str
    transfers: int
    otherTransfers: int  # noqa: N815  # as the guest writes it
    moved: int
    otherMoved: int  # noqa: N815
    balance: int
    otherBalance: int  # noqa: N815

    @property
    def last(self) -> dict[str, int]:
        """There is one lane; its number is that of the first disk."""
        return {"bank": self.transfers}

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


@asynccontextmanager
async def sqlite_bank(guests: Guests) -> AsyncIterator[Bank]:
    """The bank in the VM `orders`, which is there before and after."""
    bank = Bank(
        vm="orders",
        program="bank",
        recipe="sqlite",
        lanes=("bank",),
        images={},
        flush="sync",
        torn="transfers on one disk",
        read=lambda text: SqliteBooks(**json.loads(text)),
    )
    await open_bank(guests, bank)
    yield bank
    await guest_exec(guests.state, NAMESPACE, bank.vm, "bank close")
