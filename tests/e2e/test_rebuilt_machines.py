"""Restores that rebuild a VM with all that it needs, take it back when they are given up, and start it as it ran."""

from tests.e2e.kinds import VM_RESTORE
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready
from tests.e2e.world import OPERATOR, World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    CONFIG_MAP,
    JOB,
    SECRET,
    SERVICE_ACCOUNT,
    VIRTUAL_MACHINE,
    VIRTUAL_MACHINE_INSTANCE,
    Kind,
)

NEEDED: dict[str, Kind] = {"orders-init": SECRET, "orders-settings": CONFIG_MAP, "orders-identity": SERVICE_ACCOUNT}
HELD = "tests.example/held"


async def needy_machine(tenant: Tenant) -> None:
    """VM orders, which needs a Secret, a ConfigMap and a ServiceAccount, with its VMBackup `first`."""
    await tenant.apply(
        {**tenant.manifest("v1", "ConfigMap", "orders-settings"), "data": {"colour": "blue"}},
        tenant.manifest("v1", "ServiceAccount", "orders-identity"),
    )
    await tenant.machine("orders")
    volumes = [
        {"name": "settings", "configMap": {"name": "orders-settings"}},
        {"name": "identity", "serviceAccount": {"serviceAccountName": "orders-identity"}},
    ]
    path = "/spec/template/spec/volumes/-"
    operations = [{"op": "add", "path": path, "value": volume} for volume in volumes]
    await tenant.world.cluster.patch(VIRTUAL_MACHINE, "orders", operations, tenant.name, patch_type="json")
    assert_ready(await tenant.backed_up("first", "orders"))


async def test_a_new_vm_gets_what_it_needs_and_a_given_up_one_leaves_nothing(world: World) -> None:
    """Elsewhere, a VM is rebuilt with what it depends on; deleted before its end, the restore takes all of it back."""
    async with (
        world.tenant("rebuilt-from", allow_restore_to="rebuilt-in,given-up-in") as source,
        world.tenant("rebuilt-in") as lucky,
        world.tenant("given-up-in") as hapless,
    ):
        await needy_machine(source)
        point = {"vm": "orders", "namespace": source.name}
        assert_ready(await lucky.restored("copy", point, new_vm="copy"))
        assert await lucky.digests("copy") == await source.digests("orders")
        for name, kind in NEEDED.items():
            assert await world.cluster.get(kind, name, lucky.name) is not None

        await hapless.apply(hapless.restore("copy", point, new_vm="copy"))
        restore = await world.until(VM_RESTORE, "copy", hapless.name, lambda found: bool(_job(found)))
        await world.until(JOB, _job(restore), OPERATOR, bool)
        # A Job that somebody holds keeps the restore from its end, when all is rebuilt.
        await world.cluster.patch(JOB, _job(restore), {"metadata": {"finalizers": [HELD]}}, OPERATOR)
        await world.until(VIRTUAL_MACHINE, "copy", hapless.name, bool)
        await world.until(VM_RESTORE, "copy", hapless.name, lambda found: "uid" in found["status"]["vm"])
        await world.cluster.delete(VM_RESTORE, "copy", hapless.name)
        await world.until_gone(VIRTUAL_MACHINE, "copy", hapless.name)
        await world.cluster.patch(JOB, _job(restore), {"metadata": {"finalizers": None}}, OPERATOR)
        await world.until_gone(VM_RESTORE, "copy", hapless.name)
        for name, kind in NEEDED.items():
            assert await world.cluster.get(kind, name, hapless.name) is None
        await hapless.left_nothing()


async def test_a_vm_that_people_start_is_started_again(tenant: Tenant) -> None:
    """With the run strategy Manual, a VM that ran is started after a restore in place."""
    cluster = tenant.world.cluster
    await tenant.machine("orders")
    await cluster.patch(VIRTUAL_MACHINE, "orders", {"spec": {"runStrategy": "Manual"}}, tenant.name)
    assert_ready(await tenant.backed_up("first", "orders"))
    before = await cluster.get(VIRTUAL_MACHINE_INSTANCE, "orders", tenant.name)
    assert before is not None
    assert_ready(await tenant.restored("back", {"vm": "orders"}))
    machine = await cluster.get(VIRTUAL_MACHINE, "orders", tenant.name)
    assert machine is not None
    assert machine["spec"]["runStrategy"] == "Manual"
    await tenant.world.until(
        VIRTUAL_MACHINE_INSTANCE,
        "orders",
        tenant.name,
        lambda found: found["metadata"]["uid"] != before["metadata"]["uid"],
    )


async def test_volumes_that_wait_for_their_first_consumer(tenant: Tenant) -> None:
    """With a WaitForFirstConsumer class, the worker is the consumer that places the new volumes."""
    await tenant.machine("orders", storage_class="sandbox-wait")
    before = await tenant.digests("orders")
    assert_ready(await tenant.backed_up("first", "orders"))
    await tenant.write("orders", "data", b"lost" * 1000)
    assert_ready(await tenant.restored("back", {"vm": "orders"}))
    assert await tenant.digests("orders") == before


def _job(restore: Object) -> str:
    return str((restore.get("status") or {}).get("jobName") or "")
