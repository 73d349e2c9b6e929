"""Backups and restores of disk-only guests, as a tenant sees them."""

from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready

from sandbox.cluster.kinds import VIRTUAL_MACHINE_INSTANCE, VM_SNAPSHOT


async def test_second_backup_moves_what_changed_and_both_restore(tenant: Tenant) -> None:
    """The second backup is incremental; in place the VM's disks become byte for byte those of the first or second.

    A third one excludes a volume: its restore brings the other one back, and leaves the excluded one as it is.
    """
    await tenant.machine("orders")
    await tenant.write("orders", "data", b"first" * 1000, offset=1 << 20)
    before = await tenant.digests("orders")
    first = await tenant.backed_up("first", "orders")
    assert_ready(first)
    assert "parent" not in first["status"]

    await tenant.write("orders", "data", b"second" * 1000, offset=4 << 20)
    await tenant.write("orders", "files", b"second" * 1000)
    after = await tenant.digests("orders")
    second = await tenant.backed_up("second", "orders")
    assert_ready(second)
    assert second["status"]["parent"] == first["status"]["restorePoint"]
    assert 0 < second["status"]["bytesChanged"] < second["status"]["bytesTotal"] / 4
    assert second["status"]["consistency"]["reached"] == "Crash"
    await tenant.left_nothing()

    await tenant.write("orders", "data", b"lost" * 100_000)
    assert_ready(await tenant.restored("to-second", {"vm": "orders"}))
    await tenant.runs("orders")
    assert await tenant.digests("orders") == after
    assert_ready(await tenant.restored("to-first", {"backup": "first"}))
    assert await tenant.digests("orders") == before
    await tenant.left_nothing()

    third = await tenant.backed_up("data-only", "orders", volumes={"exclude": {"names": ["files"]}})
    assert_ready(third)
    assert [volume["name"] for volume in third["status"]["volumes"]] == ["data"]
    assert [volume["name"] for volume in third["status"]["excludedVolumes"]] == ["files"]
    for volume in ("data", "files"):
        await tenant.write("orders", volume, b"third" * 1000)
    files = (await tenant.digests("orders"))["files"]
    assert_ready(await tenant.restored("data-back", {"backup": "data-only"}))
    assert await tenant.digests("orders") == {**before, "files": files}
    await tenant.left_nothing()


async def test_a_stopped_vm_is_captured_offline(tenant: Tenant) -> None:
    """Nobody writes to its disks, so it satisfies what is demanded of running ones; at Ready its snapshot is gone."""
    world = tenant.world
    await tenant.machine("orders")
    halt = '{"spec": {"runStrategy": "Halted"}}'
    await tenant.kubectl.run("patch", "virtualmachine", "orders", "-n", tenant.name, "--type=merge", f"--patch={halt}")
    await world.until_gone(VIRTUAL_MACHINE_INSTANCE, "orders", tenant.name)
    found = await tenant.backed_up("off", "orders", consistency={"level": "Filesystem"})
    assert await world.cluster.list(VM_SNAPSHOT, tenant.name) == []
    assert_ready(found)
    assert found["status"]["consistency"]["reached"] == "Offline"
    assert "frozenMillis" not in found["status"]["consistency"]
