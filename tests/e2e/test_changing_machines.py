"""VMs that are deleted while their backup runs, and storage that changes under a run."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.e2e.kinds import VM_BACKUP
from tests.e2e.namespace import MODES, SIZE, Tenant
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import OPERATOR, World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    PERSISTENT_VOLUME_CLAIM,
    VIRTUAL_MACHINE,
    VM_SNAPSHOT,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
)
from sandbox.csi.names import DRIVER_WITHOUT_SNAPSHOTS
from sandbox.demo.kubectl import condition

VM = "orders"
_PLAIN = "plain-for-a-moment"


async def _delete(tenant: Tenant, *, with_disks: bool = False) -> None:
    """Delete the VM as its user, who does not wait for it."""
    names = [f"virtualmachine/{VM}", *(f"pvc/{VM}-{volume}" for volume in MODES if with_disks)]
    await tenant.kubectl.run("delete", *names, "--namespace", tenant.name, "--wait=false")


async def _deleted_while_it_is_cut(tenant: Tenant, name: str) -> None:
    """Nobody cuts its volumes, and KubeVirt holds the VM for the snapshot."""
    world = tenant.world
    with world.stopped("csi"):
        await tenant.apply(tenant.backup(name, VM))
        await world.until(VIRTUAL_MACHINE, VM, tenant.name, lambda found: "snapshotInProgress" in found["status"])
        await _delete(tenant)
        await world.until(VM_BACKUP, name, tenant.name, lambda found: "failure" in (found.get("status") or {}))


async def _deleted_while_it_is_prepared(tenant: Tenant, name: str) -> None:
    """What was cut can be read, but nobody makes volumes of it yet."""
    world = tenant.world
    await tenant.apply(tenant.backup(name, VM))
    await world.one(VM_SNAPSHOT, tenant.name, _is_ready)
    with world.stopped("csi"):
        await world.one(VOLUME_SNAPSHOT, OPERATOR, lambda found: _owner(found) == tenant.name)
        await _delete(tenant)
        await world.until_gone(VIRTUAL_MACHINE, VM, tenant.name)
        found = await world.until(VM_BACKUP, name, tenant.name, bool)
        assert found["status"]["phase"] in ("Preparing", "Transferring")


async def _deleted_while_it_is_read(tenant: Tenant, name: str) -> None:
    """The worker gets nowhere; the disks go with the VM."""
    world = tenant.world
    with world.stopped("objectstore"):
        await tenant.apply(tenant.backup(name, VM))
        await world.until(VM_BACKUP, name, tenant.name, _is_in("Transferring"))
        await _delete(tenant, with_disks=True)
        await world.until_gone(VIRTUAL_MACHINE, VM, tenant.name)
        for volume in MODES:
            await world.until_gone(PERSISTENT_VOLUME_CLAIM, f"{VM}-{volume}", tenant.name)


async def test_a_vm_that_is_deleted_before_its_cut_has_no_point_and_goes(tenant: Tenant) -> None:
    """The run lets go of it at once: the VM ends with the run's snapshot, and nothing is left of either."""
    await tenant.machine(VM)
    await _deleted_while_it_is_cut(tenant, "now")
    found = await tenant.world.ended(VM_BACKUP, "now", tenant.name)
    assert_refused(found, "VMNotFound", "deleted before its snapshot could be read")
    await tenant.world.until_gone(VIRTUAL_MACHINE, VM, tenant.name)
    await tenant.left_nothing()


@pytest.mark.parametrize("fate", [_deleted_while_it_is_prepared, _deleted_while_it_is_read])
async def test_a_vm_that_is_deleted_after_its_cut_can_be_restored(
    world: World, fate: Callable[[Tenant, str], Awaitable[None]]
) -> None:
    """The worker reads what was cut; the point makes a VM with the disks that the deleted one had."""
    async with world.tenant(fate.__name__.strip("_").replace("_", "-")) as tenant:
        await tenant.machine(VM)
        before = await tenant.digests(VM)
        await fate(tenant, "now")
        assert_ready(await world.ended(VM_BACKUP, "now", tenant.name))
        await tenant.left_nothing()
        assert_ready(await tenant.restored("copy", {"backup": "now"}, "copy"))
        assert await tenant.digests("copy") == before


async def test_a_volume_that_kubevirt_leaves_out_fails_the_run(tenant: Tenant) -> None:
    """Its VolumeSnapshotClass goes in mid-run: KubeVirt's snapshot succeeds without it, the run does not."""
    world = tenant.world
    async with _snapshottable_for_a_moment(tenant):
        claim = {"storageClassName": "sandbox-plain", "accessModes": ["ReadWriteOnce"]}
        extra = {"name": "extra", "persistentVolumeClaim": {"claimName": f"{VM}-extra"}}
        spec = {**claim, "resources": {"requests": {"storage": SIZE}}}
        await tenant.apply(tenant.manifest("v1", "PersistentVolumeClaim", f"{VM}-extra", spec))
        await tenant.machine(VM, more_volumes=[extra])
        await _can_be_snapshotted(tenant, "extra")
        with world.stopped("csi"):
            await _hold(tenant, "others")
            await tenant.apply(tenant.backup("now", VM))
            await world.until(VM_BACKUP, "now", tenant.name, _waits_for_others)
            await world.cluster.delete(VOLUME_SNAPSHOT_CLASS, _PLAIN)
            await _can_be_snapshotted(tenant, "extra", able=False)
            await _released(tenant, "others")
        found = await world.ended(VM_BACKUP, "now", tenant.name)
    assert_refused(found, "SnapshotFailed", "left out extra (PartialSnapshot)")
    assert "PartialSnapshot" in found["status"]["consistency"]["indications"]
    assert "restorePoint" not in found["status"]
    await tenant.left_nothing()


@asynccontextmanager
async def _snapshottable_for_a_moment(tenant: Tenant) -> AsyncIterator[None]:
    """A VolumeSnapshotClass for the driver that takes no snapshots."""
    cluster = tenant.world.cluster
    body = {"metadata": {"name": _PLAIN}, "driver": DRIVER_WITHOUT_SNAPSHOTS, "deletionPolicy": "Delete"}
    await cluster.create(VOLUME_SNAPSHOT_CLASS, body)
    try:
        yield
    finally:
        await cluster.delete(VOLUME_SNAPSHOT_CLASS, _PLAIN)


async def _can_be_snapshotted(tenant: Tenant, volume: str, *, able: bool = True) -> None:
    """Wait until KubeVirt says so of a volume, or the contrary."""

    def says(found: Object) -> bool:
        statuses = (found.get("status") or {}).get("volumeSnapshotStatuses") or []
        return any(item["name"] == volume and item["enabled"] is able for item in statuses)

    await tenant.world.until(VIRTUAL_MACHINE, VM, tenant.name, says)


async def _hold(tenant: Tenant, name: str) -> None:
    """Let a snapshot of somebody else hold the VM."""
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": VM}
    manifest = tenant.manifest("snapshot.kubevirt.io/v1beta1", "VirtualMachineSnapshot", name, {"source": source})
    await tenant.apply(manifest)
    await tenant.world.until(
        VIRTUAL_MACHINE, VM, tenant.name, lambda found: found["status"].get("snapshotInProgress") == name
    )


async def _released(tenant: Tenant, name: str) -> None:
    """Take that snapshot away, with all that KubeVirt made for it; without a driver nothing holds it."""
    cluster = tenant.world.cluster
    made = [item["metadata"]["name"] for item in await cluster.list(VOLUME_SNAPSHOT, tenant.name)]
    await cluster.delete(VM_SNAPSHOT, name, tenant.name)
    for volume_snapshot in made:
        await tenant.world.until_gone(VOLUME_SNAPSHOT, volume_snapshot, tenant.name)


def _owner(found: Object) -> str | None:
    return (found["metadata"].get("labels") or {}).get("safehold.dev/owner-namespace")


def _is_ready(snapshot: Object) -> bool:
    return bool((snapshot.get("status") or {}).get("readyToUse"))


def _is_in(*phases: str) -> Callable[[Object], bool]:
    return lambda found: (found.get("status") or {}).get("phase") in phases


def _waits_for_others(backup: Object) -> bool:
    return "waits for VirtualMachineSnapshot others" in condition(backup, "Ready").get("message", "")
