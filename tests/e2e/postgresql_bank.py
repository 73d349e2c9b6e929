"""The bank on PostgreSQL: a tablespace on a second disk, and two clients (sandbox/guest/root/bin/pgbank)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from tests.e2e.bank import Bank, open_bank, remove
from tests.e2e.guests import NAMESPACE, Guests

from sandbox.guest.errors import ImageError
from sandbox.guest.image import default_cache
from sandbox.guest.inside import guest_exec
from sandbox.guest.postgresql import postgresql_disk
from sandbox.kubevirt.machines.container_disks import POSTGRESQL


@dataclass(frozen=True, slots=True)
class PostgresqlBooks:
    """What a server holds that has recovered from the copy's disks."""

    damage: str
    """What recovery, pg_amcheck or a query complained of."""
    last: dict[str, int]
    gaps: int
    """Transfers that are missing below a lane's last one."""
    givers: int
    """Accounts on the first disk that disagree with the transfers."""
    takers: int
    """Those on the second."""

    @property
    def faults(self) -> list[str]:
        """What a consistent copy cannot show; nothing for a consistent one."""
        claims = {
            self.damage: not self.damage,
            f"{self.gaps} transfers are missing": self.gaps == 0,
            f"{self.givers} accounts on the first disk disagree with the transfers": self.givers == 0,
            f"{self.takers} accounts on the second disk disagree with the transfers": self.takers == 0,
        }
        return [fault for fault, holds in claims.items() if not holds]


@asynccontextmanager
async def postgresql_bank(guests: Guests) -> AsyncIterator[Bank]:
    """The bank in a VM of its own, `ledgers`; skips where there are no Debian packages to make its server of."""
    try:
        await asyncio.to_thread(postgresql_disk, default_cache())
    except ImageError as error:
        pytest.skip(str(error))
    bank = Bank(
        vm="ledgers",
        program="pgbank",
        recipe="postgresql",
        lanes=("pgbank-1", "pgbank-2"),
        images={"programs": POSTGRESQL},
        flush="pgbank ask CHECKPOINT",
        torn="exceeds next valid transaction ID",
        read=lambda text: PostgresqlBooks(**json.loads(text)),
    )
    await guests.boot(bank.vm, "Block", "Filesystem", images=bank.images)
    await open_bank(guests, bank)
    yield bank
    await remove(guests, bank.vm)


async def asked(guests: Guests, bank: Bank, statement: str) -> str:
    """The server's answer to a statement."""
    return (await guest_exec(guests.state, NAMESPACE, bank.vm, f'pgbank ask "{statement}"')).strip()
