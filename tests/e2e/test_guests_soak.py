"""Many backups in a row of a guest that never stops writing, each restored."""

import pytest
from tests.e2e.guests import Guests
from tests.e2e.verdicts import assert_ready

ROUNDS = 10
VM = "orders"


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_every_point_of_a_busy_guest_restores(guests: Guests) -> None:
    """Each of ten points taken under load is whole when it is new, and once more when the last one has been taken."""
    backups = []
    for number in range(ROUNDS):
        backup = await guests.backed_up(f"round-{number}", VM)
        assert_ready(backup)
        await guests.assert_whole(backup)
        backups.append(backup)
        await guests.writes(VM)
    parents = [backup["status"].get("parent") for backup in backups]
    assert parents[1:] == [backup["status"]["restorePoint"] for backup in backups[:-1]]
    for backup in backups:
        await guests.assert_whole(backup)
    await guests.assert_left_alone(VM)
    await guests.tenant.apply(guests.tenant.restore("back", {"backup": "round-0"}))
    assert_ready(await guests.restored("back"))
    await guests.assert_runs_from(VM, backups[0])
