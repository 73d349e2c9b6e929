"""VMs that take their size from instance types, backed up and rebuilt where those do not exist."""

from collections.abc import Mapping

import pytest
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    CLUSTER_INSTANCETYPE,
    CLUSTER_PREFERENCE,
    CONTROLLER_REVISION,
    INSTANCETYPE,
    PREFERENCE,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    Kind,
)

_SIZE = {"cpu": {"guest": 1}, "memory": {"guest": "144Mi"}}
_WISHES = {"devices": {"preferredDiskBus": "virtio"}}
_NAME = "safehold-e2e"
_OWN = {"instancetype": INSTANCETYPE, "preference": PREFERENCE}
_SHARED = {"instancetype": CLUSTER_INSTANCETYPE, "preference": CLUSTER_PREFERENCE}


@pytest.mark.parametrize("own", ["instancetype", "preference"])
async def test_a_copy_elsewhere_keeps_its_size_without_its_instance_type(world: World, own: str) -> None:
    """The new VM owns revisions that hold what the originals held, and boots with them; `own` is the namespaced one."""
    kinds = _SHARED | {own: _OWN[own]}
    async with (
        world.tenant(f"own-{own}-from", allow_restore_to=f"own-{own}-in") as source,
        world.tenant(f"own-{own}-in") as target,
    ):
        await sized_machine(source, kinds)
        # None of them is needed any more: the revisions are in the point.
        for kind in kinds.values():
            await world.cluster.delete(kind, _NAME, source.name if kind.namespaced else None)
        assert_ready(await target.restored("copy", {"vm": "orders", "namespace": source.name}, new_vm="copy"))
        await target.runs("copy")
        assert await target.digests("copy") == await source.digests("orders")
        original, copy = await _machine(source, "orders"), await _machine(target, "copy")
        for field in kinds:
            before, after = await _revision(source, original, field), await _revision(target, copy, field)
            assert after["data"] == before["data"]
            assert [owner["uid"] for owner in after["metadata"]["ownerReferences"]] == [copy["metadata"]["uid"]]
            assert copy["spec"][field]["revisionName"] == after["metadata"]["name"]
        vmi = await world.cluster.get(VIRTUAL_MACHINE_INSTANCE, "copy", target.name)
        assert vmi is not None
        assert vmi["spec"]["domain"]["memory"] == _SIZE["memory"]


async def sized_machine(tenant: Tenant, kinds: Mapping[str, Kind]) -> None:
    """VM orders, which has its size and its disks' bus from objects of these kinds, with its VMBackup `first`."""
    specs: dict[str, Object] = {"instancetype": _SIZE, "preference": _WISHES}
    for field, kind in kinds.items():
        metadata = {"name": _NAME, **({"namespace": tenant.name} if kind.namespaced else {})}
        await tenant.world.apply(
            {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": specs[field]}
        )
    matchers = {field: {"kind": kind.kind, "name": _NAME} for field, kind in kinds.items()}
    await tenant.machine("orders", matchers=matchers)
    assert_ready(await tenant.backed_up("first", "orders"))


async def _machine(tenant: Tenant, name: str) -> Object:
    found = await tenant.world.cluster.get(VIRTUAL_MACHINE, name, tenant.name)
    assert found is not None
    return found


async def _revision(tenant: Tenant, vm: Object, field: str) -> Object:
    name = vm["status"][f"{field}Ref"]["controllerRevisionRef"]["name"]
    found = await tenant.world.cluster.get(CONTROLLER_REVISION, name, tenant.name)
    assert found is not None
    return found
