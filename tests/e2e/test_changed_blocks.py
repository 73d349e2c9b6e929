"""Changed blocks from the sandbox's CSI driver, over TLS: what they save, and what they must never break."""

import base64
from typing import Any

from tests.e2e.kinds import VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.patience import until_none
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    EVENT,
    PERSISTENT_VOLUME_CLAIM,
    SNAPSHOT_METADATA_SERVICE,
    VIRTUAL_MACHINE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CONTENT,
)
from sandbox.csi.names import DRIVER
from sandbox.demo.kubectl import condition

CHUNK = 128 * 1024


def volume_of(backup: Object, name: str = "data") -> dict[str, Any]:
    """What the status says about a volume."""
    return next(volume for volume in backup["status"]["volumes"] if volume["name"] == name)


async def test_the_second_backup_reads_what_changed(tenant: Tenant) -> None:
    """The first run reads what is allocated, the next ones the changed chunks; all restore to what was captured."""
    await tenant.machine("orders")
    await tenant.write("orders", "data", b"first" * 1000, offset=1 << 20)
    first = await tenant.backed_up("first", "orders")
    assert_ready(first)
    assert volume_of(first)["engine"] == "CSI", volume_of(first)
    assert "what is allocated was read" in volume_of(first)["engineReason"], volume_of(first)
    assert (volume_of(first, "files")["engine"], "Block volumes only" in volume_of(first, "files")["engineReason"]) == (
        "Scan",
        True,
    )
    await tenant.write("orders", "data", b"second" * 1000, offset=4 << 20)
    digests = await tenant.digests("orders")
    second = await tenant.backed_up("second", "orders")
    assert_ready(second)
    assert volume_of(second)["engine"] == "CSI", volume_of(second)
    assert 0 < volume_of(second)["bytesChanged"] <= volume_of(second)["bytesRead"] <= 2 * CHUNK
    third = await tenant.backed_up("third", "orders")
    assert (volume_of(third)["bytesRead"], volume_of(third)["bytesChanged"]) == (0, 0)
    await tenant.write("orders", "data", b"lost" * 100_000)
    assert_ready(await tenant.restored("back", {"backup": "third"}))
    await tenant.runs("orders")
    assert await tenant.digests("orders") == digests


async def test_one_base_is_kept_out_of_reach(tenant: Tenant) -> None:
    """Each run leaves one snapshot per volume, in the operator's namespace, where no tenant sees it."""
    world = tenant.world
    await tenant.machine("orders")
    await tenant.backed_up("first", "orders")
    (base,) = (await tenant.bases()).values()
    assert base["spec"]["deletionPolicy"] == "Delete"
    await until_none(lambda: world.cluster.list(VOLUME_SNAPSHOT, tenant.name), "in the tenant's reach")
    await tenant.backed_up("second", "orders")
    (after,) = (await tenant.bases()).values()
    handles = base["spec"]["source"]["snapshotHandle"], after["spec"]["source"]["snapshotHandle"]
    assert handles[0] != handles[1]
    await world.until_gone(VOLUME_SNAPSHOT_CONTENT, base["metadata"]["name"])
    snapshots = {path.name for path in (world.sandbox.state / "csi" / "snapshots").iterdir()}
    assert handles[0] not in snapshots
    assert handles[1] in snapshots
    await tenant.left_nothing()


async def test_a_restored_or_grown_volume_is_read_again(tenant: Tenant) -> None:
    """After a restore in place, and after the claim grew, no delta is trusted: the next run says so and reads on."""
    await tenant.machine("orders")
    await tenant.write("orders", "data", b"first" * 1000, offset=1 << 20)
    await tenant.backed_up("first", "orders")
    await tenant.write("orders", "data", b"lost" * 1000, offset=1 << 20)
    assert_ready(await tenant.restored("back", {"backup": "first"}))
    await tenant.runs("orders")
    restored = await tenant.backed_up("second", "orders")
    assert volume_of(restored)["bytesRead"] > 0
    assert "no base" in volume_of(restored)["engineReason"], volume_of(restored)

    claim = await tenant.claim_of("orders", "data")
    patch = {"spec": {"resources": {"requests": {"storage": "24Mi"}}}}
    await tenant.world.cluster.patch(PERSISTENT_VOLUME_CLAIM, claim, patch, tenant.name)
    await tenant.world.until(
        PERSISTENT_VOLUME_CLAIM,
        claim,
        tenant.name,
        lambda found: found["status"]["capacity"]["storage"] == "24Mi",
    )
    grown = await tenant.backed_up("third", "orders")
    assert_ready(grown)
    assert volume_of(grown)["bytesTotal"] == 24 << 20
    assert volume_of(grown)["bytesRead"] > 0
    assert "had 16777216 bytes and has 25165824" in volume_of(grown)["engineReason"], volume_of(grown)


async def test_a_service_that_cannot_be_trusted_costs_a_scan(tenant: Tenant) -> None:
    """Wrong certificate, wrong audience, nobody there: the volume is scanned, the reason told, the backup complete."""
    world = tenant.world
    await tenant.machine("orders")
    service = await world.cluster.get(SNAPSHOT_METADATA_SERVICE, DRIVER)
    assert service is not None
    foreign = (world.sandbox.state / "apiserver").glob("**/ca.crt")
    authority = base64.b64encode(next(iter(foreign)).read_bytes()).decode()
    try:
        for name, change, said in (
            ("certificate", {"caCert": authority}, "not the one that its object vouches for"),
            ("nobody", {"address": "127.0.0.1:9"}, "gave no whole answer"),
        ):
            await world.cluster.patch(SNAPSHOT_METADATA_SERVICE, DRIVER, {"spec": change})
            found = await tenant.backed_up(name, "orders")
            assert_ready(found)
            assert volume_of(found)["engine"] == "Scan"
            assert said in volume_of(found)["engineReason"], volume_of(found)
            assert volume_of(found)["bytesTotal"] == 16 << 20
            await world.cluster.patch(SNAPSHOT_METADATA_SERVICE, DRIVER, {"spec": service["spec"]})
    finally:
        await world.cluster.patch(SNAPSHOT_METADATA_SERVICE, DRIVER, {"spec": service["spec"]})
    again = await tenant.backed_up("again", "orders")
    assert volume_of(again)["engine"] == "CSI", volume_of(again)


async def test_without_scan_a_volume_that_cannot_be_asked_fails_the_run(tenant: Tenant) -> None:
    """With `engines: [CSI]` a Filesystem volume fits none, and the run fails with what to do before a byte moves."""
    await tenant.machine("orders")
    found = await tenant.backed_up("strict", "orders", changedBlocks={"engines": ["CSI"]})
    assert_refused(found, "EngineNotAvailable", "Add Scan")
    await tenant.left_nothing()


async def test_the_base_goes_with_its_vm(tenant: Tenant) -> None:
    """Once the VM is deleted nobody asks what changed, and the sweep takes the snapshot away."""
    await tenant.machine("orders")
    await tenant.backed_up("first", "orders")
    (base,) = (await tenant.bases()).values()
    async with tenant.world.controller_stopped():  # which sweeps at its start, not only every few minutes
        await tenant.world.cluster.delete(VIRTUAL_MACHINE, "orders", tenant.name)
        await tenant.world.until_gone(VIRTUAL_MACHINE, "orders", tenant.name)
    await tenant.world.until_gone(VOLUME_SNAPSHOT_CONTENT, base["metadata"]["name"])


async def test_a_lie_is_found_repaired_and_told(tenant: Tenant) -> None:
    """A driver that keeps a change silent is found out by the verification: the point is right, and trust is gone."""
    world = tenant.world
    await tenant.machine("orders")
    await tenant.write("orders", "data", b"first" * 1000, offset=1 << 20)
    await tenant.backed_up("first", "orders")
    await _verified_long_ago(tenant, "first")
    await tenant.write("orders", "data", b"silent" * 1000, offset=4 << 20)
    (base,) = (await tenant.bases()).values()
    # The driver compares two snapshots: with the change in the older one too, it sees none.
    snapshot = world.sandbox.state / "csi" / "snapshots" / base["spec"]["source"]["snapshotHandle"]
    with snapshot.open("r+b") as disk:
        disk.seek(4 << 20)
        disk.write(b"silent" * 1000)
    digests = await tenant.digests("orders")
    second = await tenant.backed_up("second", "orders")
    assert_ready(second)
    assert (volume_of(second)["mismatchedBytes"], volume_of(second)["distrusted"]) == (CHUNK, True)
    trusted = condition(second, "ChangedBlocksTrusted")
    assert (trusted["status"], trusted["reason"]) == ("False", "ChangedBlocksLied")
    await world.one(EVENT, tenant.name, lambda event: event["reason"] == "ChangedBlocksLied")

    third = await tenant.backed_up("third", "orders")
    assert condition(third, "ChangedBlocksTrusted")["status"] == "True"
    assert not volume_of(third).get("distrusted")
    await tenant.write("orders", "data", b"lost" * 100_000)
    assert_ready(await tenant.restored("back", {"backup": "second"}))
    await tenant.runs("orders")
    assert await tenant.digests("orders") == digests


async def _verified_long_ago(tenant: Tenant, backup: str) -> None:
    """Let the volume's verification be due."""
    found = await tenant.world.cluster.get(VM_BACKUP, backup, tenant.name)
    assert found is not None
    volumes = [{**volume, "verifiedTime": "2020-01-01T00:00:00Z"} for volume in found["status"]["volumes"]]
    patch = {"status": {"volumes": volumes}}
    await tenant.world.cluster.patch(VM_BACKUP, backup, patch, tenant.name, subresource="status")
