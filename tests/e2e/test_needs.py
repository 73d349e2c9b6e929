"""Everything that a VM needs comes back with it; and a plain claim fills itself."""

import hashlib

from tests.e2e.namespace import SIZE, Tenant
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    INSTANCETYPE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    PREFERENCE,
    SECRET,
)
from sandbox.csi.driver import volume_path

_POPULATED_FOR = "cdi.kubevirt.io/storage.populatedFor"
_STATE = "persistent-state-for"


async def test_a_vm_comes_back_with_all_that_it_needs(world: World) -> None:
    """Elsewhere: sized by its revisions, with its TPM and EFI state, its claims' names, and the Secret as it was."""
    async with (
        world.tenant("needs-from", allow_restore_to="needs-in") as source,
        world.tenant("needs-in") as target,
    ):
        await needy_machine(source)
        before, state = await source.digests("orders"), await state_of(source, "orders")
        await world.secret(target.name, "orders-init", {"userdata": "somebody else's password"})
        wanted = {"mode": "NewVM", "name": "copy", "claimNames": "AsBackedUp"}
        point = {"vm": "orders", "namespace": source.name}
        restored = await target.restored("back", point, target=wanted, existingObjects="Overwrite")
        assert_ready(restored)
        await target.runs("copy")
        assert await target.digests("copy") == before
        renamed = {name.replace("nvram/orders_", "nvram/copy_"): content for name, content in state.items()}
        assert await state_of(target, "copy") == renamed
        await assert_named_as_before(target)
        await assert_replaced(source, target, restored)
        await assert_claim_fills_itself(source, target, before["data"])
        await target.left_nothing()


async def needy_machine(tenant: Tenant) -> None:
    """VM orders with types of its own and a TPM, with its VMBackup `first`."""
    size = {"cpu": {"guest": 1}, "memory": {"guest": "144Mi"}}
    await tenant.apply(
        tenant.manifest(INSTANCETYPE.api_version, INSTANCETYPE.kind, "small", size),
        tenant.manifest(PREFERENCE.api_version, PREFERENCE.kind, "plain", {"devices": {"preferredDiskBus": "virtio"}}),
    )
    matchers: dict[str, Object] = {
        "instancetype": {"kind": INSTANCETYPE.kind, "name": "small"},
        "preference": {"kind": PREFERENCE.kind, "name": "plain"},
    }
    await tenant.machine("orders", matchers=matchers, devices={"tpm": {"persistent": True}})
    backup = await tenant.backed_up("first", "orders")
    assert_ready(backup)
    assert {volume["role"] for volume in backup["status"]["volumes"]} == {"Disk", "State"}


async def state_of(tenant: Tenant, vm: str) -> dict[str, bytes]:
    """The files of a VM's TPM and EFI state, without QEMU's bitmaps; the VM has exactly one claim for them."""
    cluster = tenant.world.cluster
    (claim,) = await cluster.list(PERSISTENT_VOLUME_CLAIM, tenant.name, labels=f"{_STATE}={vm}")
    volume = await cluster.get(PERSISTENT_VOLUME, claim["spec"]["volumeName"])
    assert volume is not None
    folder = volume_path(tenant.world.sandbox.state / "csi", volume["spec"]["csi"]["volumeHandle"])
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if not name.startswith("cbt/")}


async def assert_named_as_before(tenant: Tenant) -> None:
    """The claims have their old names, and tell CDI that DataVolumes of these names have nothing to import."""
    for name in ("orders-data", "orders-files"):
        claim = await tenant.world.cluster.get(PERSISTENT_VOLUME_CLAIM, name, tenant.name)
        assert claim is not None
        assert claim["metadata"]["annotations"][_POPULATED_FOR] == name


async def assert_replaced(source: Tenant, target: Tenant, restored: Object) -> None:
    """The Secret is the source's; what was there is kept."""
    cluster, status = target.world.cluster, restored["status"]
    original = await cluster.get(SECRET, "orders-init", source.name)
    replaced = await cluster.get(SECRET, "orders-init", target.name)
    kept = await cluster.get(SECRET, status["replacedObjectsSecret"], target.name)
    assert original is not None
    assert replaced is not None
    assert kept is not None
    assert status["replacedObjects"] == ["Secret orders-init"]
    assert replaced["data"] == original["data"]


async def assert_claim_fills_itself(source: Tenant, target: Tenant, digest: str) -> None:
    """A plain claim that names the VMBackup as its source gets the disk; nobody makes a VMRestore."""
    spec = {
        "storageClassName": "sandbox",
        "volumeMode": "Block",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": SIZE}},
        "dataSourceRef": {"apiGroup": "safehold.dev", "kind": "VMBackup", "name": "first"},
    }
    claim = target.manifest("v1", "PersistentVolumeClaim", "again", spec)
    claim["metadata"]["annotations"] = {"safehold.dev/source-namespace": source.name, "safehold.dev/volume": "data"}
    await target.apply(claim)
    await target.world.until(
        PERSISTENT_VOLUME_CLAIM,
        "again",
        target.name,
        lambda found: (found.get("status") or {}).get("phase") == "Bound",
    )
    disk = await target.disk("again")
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == digest
