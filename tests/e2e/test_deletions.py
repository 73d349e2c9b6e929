"""What goes when something is deleted: points only when a person deletes them, runs always, and nothing hangs."""

import asyncio
from collections.abc import Callable

from tests.e2e.kinds import VM_BACKUP, VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.repository import has_point
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import NAMESPACE, VIRTUAL_MACHINE, Kind


async def test_a_point_is_forgotten_only_where_it_was_asked_for(tenant: Tenant) -> None:
    """Deleting a VMBackup forgets its point with Delete, and keeps it with Retain."""
    world = tenant.world
    await tenant.machine("orders")
    kept = await tenant.backed_up("kept", "orders")
    forgotten = await tenant.backed_up("forgotten", "orders", deletionPolicy="Delete")
    assert_ready(kept)
    assert_ready(forgotten)
    await tenant.kubectl.run("delete", "vmbackups.safehold.dev", "kept", "forgotten", "--namespace", tenant.name)
    assert has_point(world, kept)
    assert not has_point(world, forgotten)
    await tenant.left_nothing()
    latest = await tenant.backed_up("latest", "orders")
    assert latest["status"]["parent"] == kept["status"]["restorePoint"]


async def test_a_run_that_is_deleted_cleans_up(tenant: Tenant) -> None:
    """Deleted while its volumes are being prepared, a VMBackup goes, and with it all that it made."""
    await tenant.machine("orders")
    await tenant.apply(tenant.backup("now", "orders"))
    await tenant.world.until(VM_BACKUP, "now", tenant.name, _is_in("Preparing", "Transferring", "CleaningUp"))
    await tenant.kubectl.run("delete", "vmbackups.safehold.dev", "now", "--namespace", tenant.name)
    await tenant.left_nothing()
    assert_ready(await tenant.backed_up("again", "orders"))


async def test_a_run_that_is_deleted_while_it_uploads_leaves_no_point(tenant: Tenant) -> None:
    """Whether its worker was stopped before or after the commit: with Delete the next backup finds no parent."""
    await tenant.machine("orders")
    await tenant.apply(tenant.backup("now", "orders", deletionPolicy="Delete"))
    await tenant.world.until(VM_BACKUP, "now", tenant.name, _is_in("Transferring", "CleaningUp", "Completed"))
    await tenant.kubectl.run("delete", "vmbackups.safehold.dev", "now", "--namespace", tenant.name)
    await tenant.left_nothing()
    again = await tenant.backed_up("again", "orders")
    assert_ready(again)
    assert "parent" not in again["status"]


async def test_a_restore_that_is_deleted_leaves_the_vm_as_it_was(tenant: Tenant) -> None:
    """Deleted while it fills new volumes, a restore in place gives the VM back, running, on its own disks."""
    world = tenant.world
    await tenant.machine("orders")
    assert_ready(await tenant.backed_up("first", "orders"))
    await tenant.write("orders", "data", b"newer")
    before = await tenant.digests("orders")
    with world.stopped("objectstore"):  # so that nothing is filled before the restore is deleted
        await tenant.apply(tenant.restore("back", {"vm": "orders"}))
        await world.until(VM_RESTORE, "back", tenant.name, _is_in("Stopping", "Filling"))
        await world.cluster.delete(VM_RESTORE, "back", tenant.name)
    await world.until_gone(VM_RESTORE, "back", tenant.name)
    await tenant.left_nothing()
    vm = await world.cluster.get(VIRTUAL_MACHINE, "orders", tenant.name)
    assert vm is not None
    assert vm["spec"]["runStrategy"] == "Always"
    await tenant.runs("orders")
    assert await tenant.digests("orders") == before


async def test_a_namespace_that_ends_in_mid_run_is_not_held_up(world: World) -> None:
    """A namespace that is deleted during a backup goes, and so does one during a restore; nothing stays."""
    async with world.tenant("ends-in-backup") as backing, world.tenant("ends-in-restore") as restoring:
        await asyncio.gather(backing.machine("orders"), restoring.machine("orders"))
        assert_ready(await restoring.backed_up("first", "orders", deletionPolicy="Delete"))
        backup = backing.backup("now", "orders", deletionPolicy="Delete")
        restore = restoring.restore("copy", {"vm": "orders"}, "copy")
        await asyncio.gather(
            _end_in(backing, backup, VM_BACKUP, _is_in("Preparing", "Transferring")),
            _end_in(restoring, restore, VM_RESTORE, _is_in("Filling")),
        )
    for tenant in (backing, restoring):
        await world.until_gone(NAMESPACE, tenant.name)
        await tenant.left_nothing()


async def _end_in(tenant: Tenant, run: Object, kind: Kind, reached: Callable[[Object], bool]) -> None:
    """Delete the namespace when its run has reached a phase."""
    await tenant.apply(run)
    await tenant.world.until(kind, run["metadata"]["name"], tenant.name, reached)
    await tenant.world.cluster.delete(NAMESPACE, tenant.name)


def _is_in(*phases: str) -> Callable[[Object], bool]:
    return lambda found: (found.get("status") or {}).get("phase") in phases
