"""What a plan reads of the cluster: how fast restores and backups of the same target were."""

from datetime import timedelta

import pytest
import yaml
from tests.plan.restore.objects import GIB, NOW, OPERATOR, TARGET, backup, point, restore

from gen_crds import CRDS
from safehold.api import VMBackup, VMRestore
from safehold.errors import ConflictError
from safehold.kube.client import Cluster
from safehold.kube.kinds import CUSTOM_RESOURCE_DEFINITION, VM_BACKUP, VM_RESTORE
from safehold.kube.restore.surroundings import observe_surroundings
from safehold.plan.restore.facts import ObservedRestore
from safehold.plan.restore.look import Look
from safehold.plan.restore.plan.surroundings import PastBackup, PastRestore
from safehold.plan.tenancy import NamespaceFacts


@pytest.fixture(autouse=True)
async def _our_kinds_are_served(cluster: Cluster) -> None:
    for plural in ("vmbackups", "vmrestores"):
        definition = yaml.safe_load((CRDS / f"safehold.dev_{plural}.yaml").read_text())
        try:
            await cluster.create(CUSTOM_RESOURCE_DEFINITION, definition)
        except ConflictError:
            continue


def volumes(*counts: int | None) -> list[dict[str, object]]:
    """As many as there are counts of bytes, each read in two seconds."""
    claim = {"mode": "Block", "claimName": "c", "claimUID": "u", "capacityBytes": GIB}
    return [
        {**claim, "name": f"disk-{number}", "bytesRead": count, "seconds": 2.0} for number, count in enumerate(counts)
    ]


async def keep(cluster: Cluster, namespace: str, found: VMBackup | VMRestore) -> None:
    """Create it with its status."""
    kind = VM_BACKUP if isinstance(found, VMBackup) else VM_RESTORE
    wire = found.to_wire()
    await cluster.create(
        kind, {"metadata": {"name": found.metadata.name, "namespace": namespace}, "spec": wire["spec"]}
    )
    await cluster.merge_patch(kind, found.metadata.name, namespace, {"status": wire["status"]}, subresource="status")


async def observed(cluster: Cluster, namespace: str) -> tuple[list[PastRestore], list[PastBackup]]:
    """The past as a restore of volumes sees it whose point is of this namespace."""
    chosen = point(namespace=namespace)
    found = restore("VolumesOnly")
    status = found.status.model_copy(update={"point": chosen})
    look = Look(
        restore=found.model_copy(update={"status": status}),
        seen=ObservedRestore(
            cluster_id="cluster-uid",
            operator_namespace=OPERATOR,
            namespace=NamespaceFacts(name=namespace, uid="shop-uid", labels={}, annotations={}),
            target=TARGET,
            storage_classes=frozenset({"fast"}),
        ),
        now=NOW,
    )
    around, _ = await observe_surroundings(cluster, look)
    return list(around.past), list(around.past_backups)


async def test_before_the_first_restore_the_newest_backups_to_the_target_are_found(
    cluster: Cluster, namespace: str
) -> None:
    """Those that are complete, measured and had something to read, newest first; with a restore, none."""
    for name, hours, found in (
        ("older", 3, volumes(GIB, GIB)),
        ("newer", 2, volumes(GIB)),
        ("nothing", 1, volumes(0)),
        ("unmeasured", 1, volumes(None)),
        ("failed", 1, volumes(GIB)),
    ):
        status: dict[str, object] = {"conditions": []} if name == "failed" else {}
        await keep(
            cluster, namespace, backup(name, volumes=found, completionTime=NOW - timedelta(hours=hours), **status)
        )
    elsewhere = backup("elsewhere", volumes=volumes(GIB), completionTime=NOW).to_wire()
    elsewhere["spec"]["targetRef"]["name"] = "other"
    await keep(cluster, namespace, VMBackup.model_validate(elsewhere))
    past, backups = await observed(cluster, namespace)
    assert past == []
    assert backups == [
        PastBackup(bytes_read=GIB, transfer_seconds=2.0),
        PastBackup(bytes_read=2 * GIB, transfer_seconds=4.0),
    ]

    ended = restore().to_wire()
    ended["status"] = {
        "point": point().to_wire(),
        "startTime": NOW,
        "completionTime": NOW + timedelta(seconds=9),
        "volumes": [
            {
                "name": "root",
                "mode": "Block",
                "capacityBytes": GIB,
                "primeClaim": "p",
                "claimName": "c",
                "bytesRestored": GIB,
                "seconds": 4.0,
            }
        ],
    }
    await keep(cluster, namespace, VMRestore.model_validate(ended))
    past, backups = await observed(cluster, namespace)
    assert past == [PastRestore(bytes_restored=GIB, transfer_seconds=4.0, total_seconds=9.0)]
    assert backups == []
