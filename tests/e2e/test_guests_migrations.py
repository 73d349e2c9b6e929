"""A real guest that is on its way to another node when its backup begins, and one that goes while it is read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import JOB, POD, VIRTUAL_MACHINE_INSTANCE, VM_MIGRATION, VM_SNAPSHOT
from sandbox.demo.kubectl import condition
from sandbox.kubevirt.names import CREATED_BY, HELD

VM = "web"


@asynccontextmanager
async def _under_way(guests: Guests, name: str) -> AsyncIterator[None]:
    """While the VM migrates; at the end it has arrived."""
    before = await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, bool)
    manifest = guests.tenant.manifest("kubevirt.io/v1", "VirtualMachineInstanceMigration", name, {"vmiName": VM})
    manifest["metadata"]["annotations"] = {HELD: ""}
    await guests.tenant.apply(manifest)
    await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, lambda found: _node(found, "targetNode") is not None)
    try:
        yield
    finally:
        body = {"metadata": {"annotations": {HELD: None}}}
        await guests.world.cluster.patch(VM_MIGRATION, name, body, NAMESPACE)
    await guests.reach(VM_MIGRATION, name, lambda found: found["status"]["phase"] == "Succeeded")
    after = await guests.reach(VIRTUAL_MACHINE_INSTANCE, VM, lambda found: _node(found, "targetNode") == _at(found))
    assert _at(after) != _at(before)
    label = f"{CREATED_BY}={after['metadata']['uid']}"
    (pod,) = await guests.world.cluster.list(POD, NAMESPACE, labels=label)
    assert pod["spec"]["nodeName"] == _at(after)


def _node(instance: Object, which: str) -> str | None:
    found: str | None = (instance["status"].get("migrationState") or {}).get(which)
    return found


def _at(instance: Object) -> str:
    return str(instance["status"]["nodeName"])


async def test_a_backup_waits_for_a_migration_and_says_so(guests: Guests) -> None:
    """No snapshot is asked for on the way, since its time would run out; on the other node the guest is frozen."""
    before = await _snapshots(guests)
    async with _under_way(guests, "before"):
        await guests.begin_backup("migrating", VM)
        waiting = await guests.reach(VM_BACKUP, "migrating", _waits_for_migration)
        assert waiting["status"]["phase"] == "Snapshotting"
        assert await _snapshots(guests) == before
    found = await guests.ended("migrating")
    assert_ready(found)
    assert found["status"]["consistency"]["reached"] == "Filesystem"
    await guests.assert_left_alone(VM)
    await guests.assert_whole(found)


async def test_a_migration_while_the_disks_are_read_does_no_harm(guests: Guests) -> None:
    """The worker reads what was cut, wherever the guest is."""
    await guests.begin_backup("migrated", VM)
    await guests.made_for("migrated", JOB)
    with guests.stopped("objectstore"):
        await guests.container("worker", "backup")
        async with _under_way(guests, "meanwhile"):
            await guests.writes(VM)
    found = await guests.ended("migrated")
    assert_ready(found)
    assert found["status"]["consistency"]["reached"] == "Filesystem"
    await guests.assert_left_alone(VM)
    await guests.assert_whole(found)


async def _snapshots(guests: Guests) -> set[str]:
    """Those that restores in place keep for a while are among them."""
    return {found["metadata"]["name"] for found in await guests.world.cluster.list(VM_SNAPSHOT, NAMESPACE)}


def _waits_for_migration(found: Object) -> bool:
    return "live migration" in condition(found, "Ready").get("message", "")
