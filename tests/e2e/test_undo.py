"""Restores in place begin with what the cluster has, are undone, and end what they keep."""

from typing import Any

from tests.e2e.kinds import VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME, VM_SNAPSHOT


def paths_of(restore: Object) -> dict[str, str]:
    """How each volume came to its content."""
    return {volume["name"]: volume["path"] for volume in restore["status"]["volumes"]}


def _has_chosen_its_ways(restore: Object) -> bool:
    volumes = (restore.get("status") or {}).get("volumes") or []
    return any("path" in volume for volume in volumes)


async def test_a_restore_is_undone_and_what_is_kept_goes_in_time(tenant: Tenant) -> None:
    """Killed on its way, and undone, disks are byte for byte as before; what need not be kept goes at once, and it."""
    world = tenant.world
    await tenant.machine("orders")
    await tenant.write("orders", "data", b"first" * 1000, offset=1 << 20)
    point = await tenant.digests("orders")
    assert_ready(await tenant.backed_up("first", "orders"))
    await tenant.write("orders", "data", b"later" * 1000, offset=4 << 20)
    await tenant.write("orders", "files", b"later" * 1000)
    later = await tenant.digests("orders")

    await tenant.apply(tenant.restore("back", {"backup": "first"}))
    # The next writes are the objects through which the safety snapshot is read.
    await world.until(VM_RESTORE, "back", tenant.name, _has_chosen_its_ways)
    async with world.controller_stopped(grace_seconds=0):
        pass
    restored = await world.ended(VM_RESTORE, "back", tenant.name)
    assert_ready(restored)
    assert paths_of(restored) == {"data": "Snapshot", "files": "Delta"}, restored["status"]["volumes"]
    assert restored["status"]["safetySnapshot"]["phase"] == "Taken"
    await tenant.runs("orders")
    assert await tenant.digests("orders") == point

    await tenant.apply(tenant.restore("back", {"backup": "first"}, undo=True))
    undone = await world.until(VM_RESTORE, "back", tenant.name, lambda found: "undoEndTime" in found["status"])
    assert (undone["status"]["phase"], undone["status"]["completionTime"]) == (
        "Undone",
        restored["status"]["completionTime"],
    )
    assert_ready(undone)
    await tenant.runs("orders")
    assert await tenant.digests("orders") == later
    undo_of = f"safehold.dev/undo-of={undone['metadata']['uid']}"
    kept = {volume["metadata"]["name"] for volume in await world.cluster.list(PERSISTENT_VOLUME, labels=undo_of)}
    assert kept == {volume["persistentVolume"] for volume in undone["status"]["volumes"]}

    at_once: dict[str, Any] = {"keepOldVolumesFor": "0s", "ttlSecondsAfterFinished": 0}
    old = [volume["oldPersistentVolume"] for volume in undone["status"]["volumes"]]
    await tenant.apply(tenant.restore("again", {"backup": "first"}, **at_once))
    await world.until_gone(VM_RESTORE, "again", tenant.name)
    for volume in old:
        await world.until_gone(PERSISTENT_VOLUME, volume)
    await tenant.runs("orders")
    assert await tenant.digests("orders") == point
    snapshots = await world.cluster.list(VM_SNAPSHOT, tenant.name)
    assert [found["metadata"]["name"] for found in snapshots] == [undone["status"]["safetySnapshot"]["name"]]
    await tenant.left_nothing()


async def test_a_vm_that_must_not_be_stopped_is_left_running(tenant: Tenant) -> None:
    """With `FailImmediate` a restore of a running VM is refused before anything of it is touched."""
    await tenant.machine("orders")
    assert_ready(await tenant.backed_up("first", "orders"))
    before = await tenant.digests("orders")
    wanted = tenant.restore("back", {"backup": "first"})
    wanted["spec"]["target"]["readinessPolicy"] = "FailImmediate"
    await tenant.apply(wanted)
    refused = await tenant.world.ended(VM_RESTORE, "back", tenant.name)
    assert_refused(refused, "VMRunning", "stop it and restore again")
    await tenant.runs("orders")
    assert await tenant.digests("orders") == before
    await tenant.left_nothing()
