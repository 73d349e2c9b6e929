"""Backups of running guests by KubeVirt's own backup: full, then what changed, and whatever comes in between."""

from typing import Any

from tests.e2e.guests import Guests
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    VIRTUAL_MACHINE_INSTANCE,
)

VM = "orders"


async def test_second_backup_reads_what_changed(guests: Guests) -> None:
    """Everything is read once, then little; both points are whole disks at the freeze, and nothing is left."""
    first = await _backed_up(guests, "full")
    assert {volume["engine"] for volume in first["status"]["volumes"]} == {"KubeVirt"}
    assert first["status"]["consistency"]["reached"] == "Filesystem"
    assert first["status"]["consistency"]["frozenObservation"] == "Observed"
    await guests.assert_left_alone(VM)
    await guests.assert_whole(first)
    second = await _backed_up(guests, "changed")
    assert second["status"]["parent"] == first["status"]["restorePoint"]
    assert second["status"]["pull"]["base"] == first["status"]["pull"]["checkpoint"]
    assert second["status"]["bytesRead"] < first["status"]["bytesRead"]
    # The guest writes all the time: chunks that are read have changed, but for writes of what was there before.
    assert 0 < second["status"]["bytesRead"] <= 1.25 * second["status"]["bytesChanged"]
    await guests.assert_left_alone(VM)
    await guests.assert_whole(second)


async def _backed_up(guests: Guests, name: str, **changed_blocks: Any) -> Object:
    await _begin(guests, name, **changed_blocks)
    backup = await guests.ended(name)
    assert_ready(backup)
    return backup


async def _begin(guests: Guests, name: str, **changed_blocks: Any) -> None:
    spec = {"engines": ["KubeVirt", "Scan"], **changed_blocks}
    await guests.tenant.apply(guests.tenant.backup(name, VM, changedBlocks=spec))


async def _until_tracked(guests: Guests) -> None:
    await guests.reach(
        VIRTUAL_MACHINE_INSTANCE,
        VM,
        lambda found: ((found.get("status") or {}).get("changedBlockTracking") or {}).get("state") == "Enabled",
    )
