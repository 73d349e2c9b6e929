"""Memory dumps where there is no memory: the VMs of this sandbox are only disks."""

from tests.e2e.namespace import MODES, Tenant
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.kinds import VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE


async def test_a_dump_that_fails_takes_nothing_from_the_backup(tenant: Tenant) -> None:
    """KubeVirt's words stand in the status, the disks are a good point, and claim and request are gone from the VM."""
    await tenant.machine("orders")
    backup = await tenant.backed_up("now", "orders", memoryDump=True)
    assert_ready(backup)
    dump = backup["status"]["memoryDump"]
    assert (dump["phase"], dump["reason"]) == ("Failed", "MemoryDumpFailed")
    assert "could not dump the memory" in dump["message"]
    assert {volume["name"] for volume in backup["status"]["volumes"]} == set(MODES)
    await tenant.left_nothing()
    machine = await tenant.world.until(
        VIRTUAL_MACHINE, "orders", tenant.name, lambda found: "memoryDumpRequest" not in found["status"]
    )
    assert not [item for item in machine["spec"]["template"]["spec"]["volumes"] if "memoryDump" in item]


async def test_a_vm_that_does_not_run_has_no_memory(tenant: Tenant) -> None:
    """A stopped VM is backed up, and the status says why there is no dump; KubeVirt is not even asked."""
    await tenant.machine("orders")
    await tenant.world.cluster.patch(VIRTUAL_MACHINE, "orders", {"spec": {"runStrategy": "Halted"}}, tenant.name)
    await tenant.world.until_gone(VIRTUAL_MACHINE_INSTANCE, "orders", tenant.name)
    backup = await tenant.backed_up("now", "orders", memoryDump=True)
    assert_ready(backup)
    dump = backup["status"]["memoryDump"]
    assert (dump["phase"], dump["reason"]) == ("Failed", "NotRunning")
    await tenant.left_nothing()
