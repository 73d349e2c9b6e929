"""VMBackups that cannot be carried out: each says why and what to do, and leaves nothing half-made."""

from tests.e2e.kinds import BACKUP_TARGET, CLUSTER_BACKUP_TARGET, VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.repository import stored_objects
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import SHARED, World

from sandbox.cluster.client import Object
from sandbox.demo.kubectl import condition

BACKUPS: dict[str, tuple[str, str, Object, str, str]] = {
    "no-target": ("orders", "nowhere", {}, "TargetNotFound", "create it or correct targetRef"),
    "no-vm": ("absent", SHARED, {}, "VMNotFound", "correct spec.vm.name"),
    "plain": ("plain", SHARED, {}, "NotSnapshottable", "VolumeSnapshotClass"),
    "read-only": ("orders", "read-only", {}, "TargetReadOnly", "set accessMode to ReadWrite"),
    "no-agent": (
        "orders",
        SHARED,
        {"consistency": {"level": "Filesystem"}},
        "ConsistencyNotReached",
        "demanded was Filesystem, reached was Crash",
    ),
}


async def test_what_is_wrong_with_a_backup_is_its_reason(tenant: Tenant) -> None:
    """Target, VM, storage, access mode, consistency: one reason each; neither cluster nor bucket keeps a trace."""
    world = tenant.world
    await world.apply(world.target("read-only", s3={"prefix": f"cluster/{SHARED}"}, accessMode="ReadOnly"))
    await tenant.machine("orders")
    await tenant.machine("plain", storage_class="sandbox-plain")
    assert_ready(await world.ended(CLUSTER_BACKUP_TARGET, "read-only"))
    before = stored_objects(world)

    await tenant.apply(*(tenant.backup(name, vm, target, **spec) for name, (vm, target, spec, _, _) in BACKUPS.items()))
    for name, (_, _, _, reason, remedy) in BACKUPS.items():
        found = await world.ended(VM_BACKUP, name, tenant.name)
        assert_refused(found, reason, remedy)
        assert found["status"]["phase"] == "Failed"
        assert "restorePoint" not in found["status"]
        await world.until(VM_BACKUP, name, tenant.name, lambda found: not found["metadata"].get("finalizers"))
    await tenant.left_nothing()
    assert stored_objects(world) == before


async def test_a_target_that_does_not_serve_the_namespace_refuses_backups(world: World) -> None:
    """A namespace that `allowedNamespaces` does not select gets no snapshot taken."""
    async with world.tenant("unserved-backups", served=False) as tenant:
        await tenant.machine("orders")
        found = await tenant.backed_up("now", "orders")
        assert_refused(found, "TargetNotAllowed", "its owner can add the namespace to spec.allowedNamespaces")
        await tenant.left_nothing()


async def test_a_backup_waits_for_a_target_that_is_not_ready(tenant: Tenant) -> None:
    """While its target is not Ready a VMBackup is Reconciling and says why; the missing Secret heals both by itself."""
    world = tenant.world
    await tenant.machine("orders")
    await world.secret(tenant.name, "credentials", world.access)
    await tenant.apply(world.target("own", tenant.name))
    assert_refused(await world.ended(BACKUP_TARGET, "own", tenant.name), "SecretNotFound", "create it")
    await tenant.apply(tenant.backup("now", "orders", {"kind": "BackupTarget", "name": "own"}))
    found = await world.until(
        VM_BACKUP, "now", tenant.name, lambda found: condition(found, "Ready").get("reason") == "TargetNotReady"
    )
    assert f"Secret {tenant.name}/key" in condition(found, "Ready")["message"]
    assert condition(found, "Reconciling")["status"] == "True"
    await tenant.left_nothing()
    await world.secret(tenant.name, "key", {"repository.key": world.key.text()})
    assert_ready(await world.ended(VM_BACKUP, "now", tenant.name))
    assert_ready(await world.ended(BACKUP_TARGET, "own", tenant.name))
