"""Restores of some disks, of claims alone, and of a copy that is changed on its way: what then stands there."""

import json

from tests.e2e.kinds import VM_RESTORE
from tests.e2e.namespace import RESTORER, Tenant
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import SHARED

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, VIRTUAL_MACHINE
from sandbox.demo.kubectl import condition

ADDRESS = "02:00:00:00:00:2a"
INTERFACES = [{"name": "default", "masquerade": {}}, {"name": "blue", "bridge": {}, "macAddress": ADDRESS}]
NETWORKS = [{"name": "default", "pod": {}}, {"name": "blue", "multus": {"networkName": "net/blue"}}]
HOSTNAME = "/spec/template/spec/hostname"


async def test_one_disk_of_two_and_disks_without_a_vm(tenant: Tenant) -> None:
    """In place the other disk keeps claim, volume and content; claims alone get their plain names, once.

    Without its VMBackup the point is found in the bucket.
    """
    await tenant.machine("orders")
    assert_ready(await tenant.backed_up("first", "orders"))
    before = await tenant.digests("orders")
    for volume in before:
        await tenant.write("orders", volume, b"newer" * 1000)
    newer = await tenant.digests("orders")
    kept = await _claim(tenant, "orders-files")

    restored = await tenant.restored("part", {"vm": "orders"}, volumes=["data"])
    assert_ready(restored)
    assert "volume files was left as it is" in condition(restored, "Ready")["message"]
    assert await tenant.digests("orders") == {"data": before["data"], "files": newer["files"]}
    found = await _claim(tenant, "orders-files")
    assert (found["metadata"]["uid"], found["spec"]) == (kept["metadata"]["uid"], kept["spec"])
    held = await tenant.world.cluster.get(PERSISTENT_VOLUME, found["spec"]["volumeName"])
    assert held is not None
    assert held["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    await tenant.runs("orders")

    target = {"mode": "VolumesOnly", "name": "salvage"}
    alone: Object = {"target": target, "volumes": ["files"], "labels": {"audit": "yes"}}
    assert_ready(await tenant.restored("claims", {"backup": "first"}, **alone))
    salvage = await _claim(tenant, "salvage-files")
    assert salvage["status"]["phase"] == "Bound"
    assert salvage["metadata"]["labels"]["audit"] == "yes"
    machines = await tenant.world.cluster.list(VIRTUAL_MACHINE, tenant.name)
    assert [vm["metadata"]["name"] for vm in machines] == ["orders"]
    await tenant.apply(tenant.restore("again", {"backup": "first"}, **alone))
    assert_refused(await tenant.world.ended(VM_RESTORE, "again", tenant.name), "ClaimConflict", "salvage-files exists")
    absent = await tenant.restored("absent", {"backup": "first"}, target=target, volumes=["logs"])
    assert_refused(absent, "VolumeMismatch", "it holds data, files")

    await tenant.kubectl.run("delete", "vmbackups.safehold.dev", "first", "--namespace", tenant.name)
    forgotten = await tenant.restored("forgotten", {"vm": "orders"})
    assert_refused(forgotten, "PointNotFound", "spec.source.target")
    source = {"vm": "orders", "verified": "Prefer", "target": {"kind": "ClusterBackupTarget", "name": SHARED}}
    assert_ready(await tenant.restored("recalled", source))
    assert await tenant.digests("orders") == before
    await tenant.left_nothing()


async def test_a_copy_that_is_changed_on_its_way(tenant: Tenant) -> None:
    """Classes, networks, MAC address, labels and patches are as asked; a patch that fails leaves nothing behind."""
    cluster = tenant.world.cluster
    await tenant.account("restorer", RESTORER)
    await tenant.machine("orders")
    additions = [
        ("/spec/template/spec/domain/devices/interfaces", INTERFACES),
        ("/spec/template/spec/networks", NETWORKS),
    ]
    operations = [{"op": "add", "path": path, "value": value} for path, value in additions]
    await cluster.patch(VIRTUAL_MACHINE, "orders", operations, tenant.name, patch_type="json")
    assert_ready(await tenant.backed_up("first", "orders"))
    patch = [{"op": "add", "path": HOSTNAME, "value": "drill"}]
    options: Object = {
        "runStrategy": "Halted",
        "serviceAccountName": "restorer",
        "mappings": {
            "storageClasses": [{"from": "sandbox", "to": "sandbox-wait"}],
            "networks": [{"from": "net/blue", "to": "net/green"}],
        },
        "labels": {"audit": "yes"},
        "patches": [{"target": {"kind": "VirtualMachine"}, "patch": json.dumps(patch)}],
    }
    wrong: Object = {
        **options,
        "patches": [{**options["patches"][0], "patch": json.dumps([{"op": "remove", "path": HOSTNAME}])}],
    }
    refused = await tenant.restored("refused", {"backup": "first"}, "refused", **wrong)
    assert_refused(refused, "PatchRefused", f"operation 1 (remove {HOSTNAME}) does not apply")
    assert not refused["status"].get("volumes")
    await tenant.left_nothing()

    for name, identity, address in (("drill", {}, None), ("twin", {"macAddresses": "Keep"}, ADDRESS)):
        spec: Object = {**options, **({"identity": identity} if identity else {})}
        assert_ready(await tenant.restored(name, {"backup": "first"}, name, **spec))
        vm = await cluster.get(VIRTUAL_MACHINE, name, tenant.name)
        assert vm is not None
        assert vm["metadata"]["labels"]["audit"] == "yes"
        instance = vm["spec"]["template"]["spec"]
        assert instance["hostname"] == "drill"
        assert instance["networks"][1]["multus"]["networkName"] == "net/green"
        assert instance["domain"]["devices"]["interfaces"][1].get("macAddress") == address
        claim = await _claim(tenant, await tenant.claim_of(name, "data"))
        assert claim["spec"]["storageClassName"] == "sandbox-wait"
        assert await tenant.digests(name) == await tenant.digests("orders")
    await tenant.left_nothing()


async def _claim(tenant: Tenant, name: str) -> Object:
    found = await tenant.world.cluster.get(PERSISTENT_VOLUME_CLAIM, name, tenant.name)
    assert found is not None
    return found
