"""A second cluster that shares nothing with the first but the bucket and the key."""

import pytest
from tests.e2e.kinds import CLUSTER_BACKUP_TARGET
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import OPERATOR, SHARED, World, running_world

from sandbox.cluster.kinds import NAMESPACE, SECRET, VIRTUAL_MACHINE

FIRST = "of-the-first"
"""The target by which the second cluster reads the first one's bucket."""


async def test_a_cluster_that_never_saw_the_vm_restores_it(
    world: World, tenant: Tenant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By target and point, with the consent of the target namespace; the VM, its Secret and its disks are the same."""
    await tenant.machine("orders")
    backup = await tenant.backed_up("first", "orders")
    assert_ready(backup)
    point, cluster_id = backup["status"]["restorePoint"], backup["status"]["clusterID"]
    source = {"point": point, "target": {"kind": "ClusterBackupTarget", "name": FIRST}}
    async with running_world(tmp_path_factory.mktemp("other") / "state", no_qemu=True) as other:
        await _share_bucket(world, other)
        async with other.tenant("heir") as heir:
            refused = await heir.restored("refused", source, "orders")
            assert_refused(refused, "RestoreNotAllowed", f"safehold.dev/restore-from={cluster_id}/{tenant.name}")
            assert "point" not in refused["status"]
            consent = {"safehold.dev/restore-from": f"{cluster_id}/{tenant.name}"}
            await other.cluster.patch(NAMESPACE, "heir", {"metadata": {"annotations": consent}})
            absent = {**source, "point": point[:-16] + "0123456789abcdef"}
            assert_refused(await heir.restored("absent", absent, "orders"), "PointNotFound", "safehold repo points")

            restored = await heir.restored("arrived", source, "orders")
            assert_ready(restored)
            assert "backup" not in restored["status"]
            assert restored["status"]["point"]["vm"]["clusterID"] == cluster_id
            await heir.runs("orders")
            assert await heir.digests("orders") == await tenant.digests("orders")
            assert await other.cluster.get(SECRET, "orders-init", "heir") is not None
            vm = await other.cluster.get(VIRTUAL_MACHINE, "orders", "heir")
            assert vm is not None
            assert vm["spec"]["runStrategy"] == "Always"
            await heir.left_nothing()


async def _share_bucket(world: World, other: World) -> None:
    """A target in the other world that may only read what the shared target of the first has written."""
    await other.secret(OPERATOR, "first-credentials", world.access)
    await other.secret(OPERATOR, "first-key", {"repository.key": world.key.text()})
    target = other.target(
        FIRST,
        s3={"endpoint": world.sandbox.s3_endpoint, "prefix": f"cluster/{SHARED}"},
        credentialsSecretRef={"name": "first-credentials"},
        encryption={"keySecretRef": {"name": "first-key"}},
        accessMode="ReadOnly",
    )
    await other.apply(target)
    assert_ready(await other.ended(CLUSTER_BACKUP_TARGET, FIRST))
