"""Trimming the catalogue through an API server: what goes, and what no deletion may forget."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.kube.client import Cluster
from safehold.kube.kinds import CUSTOM_RESOURCE_DEFINITION, VM_BACKUP, VM_RESTORE
from safehold.kube.retention.catalogue import drop_forgotten, trim_catalogue
from safehold.plan.names import backup_labels, backup_name
from safehold.plan.policy.facts import RUN, run_label

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
_CRDS = Path(__file__).parents[3] / "crds"
FINALIZER = "safehold.dev/finalizer"


@pytest.fixture(autouse=True)
async def kinds(cluster: Cluster) -> None:
    """Safehold's kinds are served."""
    for path in sorted(_CRDS.glob("*.yaml")):
        await cluster.create_if_absent(CUSTOM_RESOURCE_DEFINITION, yaml.safe_load(path.read_text()))


async def made(cluster: Cluster, namespace: str, day: int, **spec: Any) -> str:
    """A finished VMBackup of a policy, of that day; with a finalizer, so that a deletion can be looked at."""
    time = FIRST + timedelta(days=day)
    name = backup_name("policy-uid", "db", time)
    labels = {**backup_labels("policy-uid", "gold", "db"), RUN: run_label(time)}
    target = {"kind": "ClusterBackupTarget", "name": "primary"}
    manifest = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "finalizers": [FINALIZER]},
        "spec": {"vm": {"name": "db"}, "targetRef": target, "deletionPolicy": "Delete", **spec},
    }
    await cluster.create(VM_BACKUP, manifest)
    status = {"completionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "restorePoint": f"{namespace}-{day}"}
    await cluster.merge_patch(VM_BACKUP, name, namespace, {"status": status}, subresource="status")
    return name


async def going(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The VMBackups in deletion, with the deletionPolicy that decides about their points."""
    found = await cluster.list(VM_BACKUP, namespace)
    return {
        each["metadata"]["name"]: each["spec"]["deletionPolicy"]
        for each in found
        if "deletionTimestamp" in each["metadata"]
    }


async def test_trimming_forgets_no_point(cluster: Cluster, namespace: str) -> None:
    """What goes says Retain before it is deleted, whatever its policy has written into it; held ones stay."""
    names = [await made(cluster, namespace, day, hold=day == 1) for day in range(5)]
    assert await trim_catalogue(cluster, keep_per_vm=2) == 2
    assert await going(cluster, namespace) == {names[0]: "Retain", names[2]: "Retain"}
    assert await trim_catalogue(cluster, keep_per_vm=2) == 0


async def test_what_a_restore_reads_from_stays(cluster: Cluster, namespace: str) -> None:
    """Also where the restore is in another namespace's name."""
    names = [await made(cluster, namespace, day) for day in range(3)]
    source, target = {"backup": names[0]}, {"mode": "NewVM", "name": "copy"}
    restore = {"metadata": {"name": "r", "namespace": namespace}, "spec": {"source": source, "target": target}}
    await cluster.create(VM_RESTORE, restore)
    await trim_catalogue(cluster, keep_per_vm=1)
    assert set(await going(cluster, namespace)) == {names[1]}


async def test_the_vmbackup_of_a_forgotten_point_goes(cluster: Cluster, namespace: str) -> None:
    """It names something that cannot be restored any more."""
    names = [await made(cluster, namespace, day) for day in range(3)]
    assert await drop_forgotten(cluster, {f"{namespace}-1", "another"}) == 1
    assert await going(cluster, namespace) == {names[1]: "Retain"}
    assert await drop_forgotten(cluster, ()) == 0
