"""Snapshots that a tenant has tampered with.

The names of a run's objects follow from the VMBackup's uid, so a tenant can be first: while the controller is away the
tenant creates the VMBackup, and then the VirtualMachineSnapshot that its run will look for.
"""

import asyncio
import json

from tests.e2e.kinds import VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.repository import stored_objects
from tests.e2e.verdicts import assert_refused
from tests.e2e.world import World

from safehold.plan.names import snapshot_name
from sandbox.cluster.client import Object
from sandbox.cluster.kinds import VM_SNAPSHOT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT

_RBAC = "rbac.authorization.k8s.io"


async def test_a_tampered_snapshot_is_not_read(world: World) -> None:
    """A snapshot of another VM, one torn from KubeVirt's, one replaced by a victim's and one deleted end their runs."""
    async with world.tenant("victim") as victim, world.tenant("forger") as forger:
        await _may_edit_snapshots(forger)
        vms = ("squatted", "disowned", "replaced", "robbed")
        await asyncio.gather(victim.machine("orders"), *(forger.machine(vm) for vm in vms))
        await _take_snapshot(victim, "nightly", "orders")
        spied = await _content_of(victim)
        before = stored_objects(world)

        async with world.controller_stopped():
            await forger.apply(*(forger.backup(vm, vm) for vm in vms))
            await _squat(forger, "squatted", of_vm="disowned")
            disowned = await _squat(forger, "disowned", of_vm="disowned")
            await _edit_volume_snapshots(forger, disowned, {"metadata": {"ownerReferences": None}})
            replaced = await _squat(forger, "replaced", of_vm="replaced")
            await _replace_volume_snapshots(forger, replaced, spied["metadata"]["name"])
            for found in await _volume_snapshots(forger, await _squat(forger, "robbed", of_vm="robbed")):
                name = found["metadata"]["name"]
                await forger.kubectl.run("delete", "volumesnapshot", name, "--namespace", forger.name)
        for name, remedy in {
            "squatted": "is not the run's own",
            "disowned": "does not belong to this run's capture",
            "replaced": "is of claim None",
            "robbed": "somebody deleted VolumeSnapshot",
        }.items():
            found = await world.ended(VM_BACKUP, name, forger.name)
            assert_refused(found, "SnapshotNotTrusted", remedy)
            assert "restorePoint" not in found["status"]
            assert not found["status"].get("handles")

        assert stored_objects(world) == before
        untouched = await _content_of(victim)
        assert (untouched["metadata"]["uid"], untouched["spec"]) == (spied["metadata"]["uid"], spied["spec"])
        ours = f"safehold.dev/owner-namespace={forger.name}"
        assert await world.cluster.list(VOLUME_SNAPSHOT_CONTENT, labels=ours) == []
        policies = {item["spec"]["deletionPolicy"] for item in await world.cluster.list(VOLUME_SNAPSHOT_CONTENT)}
        assert policies <= {"Delete"}


async def _may_edit_snapshots(tenant: Tenant) -> None:
    """More than most clusters give a tenant: everything about VolumeSnapshots, their status included."""
    resources = ["volumesnapshots", "volumesnapshots/status"]
    rule = {"apiGroups": ["snapshot.storage.k8s.io"], "resources": resources, "verbs": ["*"]}
    role = tenant.manifest(f"{_RBAC}/v1", "Role", "snapshots")
    binding = tenant.manifest(f"{_RBAC}/v1", "RoleBinding", "snapshots")
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": tenant.name}
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": "snapshots"}
    await tenant.world.apply({**role, "rules": [rule]}, {**binding, "roleRef": reference, "subjects": [subject]})


async def _squat(tenant: Tenant, backup: str, *, of_vm: str) -> Object:
    """Take the snapshot that the VMBackup's run will look for."""
    found = await tenant.kubectl.get("vmbackups.safehold.dev", backup, tenant.name)
    return await _take_snapshot(tenant, snapshot_name(backup, found["metadata"]["uid"]), of_vm)


async def _take_snapshot(tenant: Tenant, name: str, vm: str) -> Object:
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": vm}
    await tenant.apply(
        tenant.manifest("snapshot.kubevirt.io/v1beta1", "VirtualMachineSnapshot", name, {"source": source})
    )
    return await tenant.world.until(VM_SNAPSHOT, name, tenant.name, _is_ready)


def _is_ready(snapshot: Object) -> bool:
    return (snapshot.get("status") or {}).get("readyToUse") is True


async def _edit_volume_snapshots(tenant: Tenant, snapshot: Object, patch: Object) -> None:
    for found in await _volume_snapshots(tenant, snapshot):
        await tenant.kubectl.run(
            *("patch", "volumesnapshot", found["metadata"]["name"], "--namespace", tenant.name),
            *("--type=merge", f"--patch={json.dumps(patch)}"),
        )


async def _replace_volume_snapshots(tenant: Tenant, snapshot: Object, content: str) -> None:
    """Put VolumeSnapshots of the same names and owners in their place that name a victim's content as their source."""
    for found in await _volume_snapshots(tenant, snapshot):
        name = found["metadata"]["name"]
        await tenant.kubectl.run("delete", "volumesnapshot", name, "--namespace", tenant.name)
        forged = tenant.manifest("snapshot.storage.k8s.io/v1", "VolumeSnapshot", name)
        forged["metadata"]["ownerReferences"] = found["metadata"]["ownerReferences"]
        forged["spec"] = {"source": {"volumeSnapshotContentName": content}}
        await tenant.apply(forged)


async def _volume_snapshots(tenant: Tenant, snapshot: Object) -> list[Object]:
    found = await tenant.world.cluster.list(VOLUME_SNAPSHOT, tenant.name)
    return [item for item in found if snapshot["metadata"]["uid"] in item["metadata"]["name"]]


async def _content_of(tenant: Tenant) -> Object:
    contents = await tenant.world.cluster.list(VOLUME_SNAPSHOT_CONTENT)
    return next(item for item in contents if item["spec"]["volumeSnapshotRef"]["namespace"] == tenant.name)
