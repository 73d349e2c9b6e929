"""What is read from a cluster before a maintenance: whose rules there are, which VMs exist, and what is held."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.api import BackupTarget
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import BACKUP_POLICY, CUSTOM_RESOURCE_DEFINITION, NAMESPACE, VM, VM_BACKUP
from safehold.kube.retention.governing import read_governed, show_previews

NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)
TARGET = {"kind": "BackupTarget", "name": "own"}
_CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(autouse=True)
async def kinds(cluster: Cluster) -> None:
    """Safehold's kinds are served."""
    for path in sorted(_CRDS.glob("*.yaml")):
        await cluster.create_if_absent(CUSTOM_RESOURCE_DEFINITION, yaml.safe_load(path.read_text()))


async def policy(cluster: Cluster, namespace: str, name: str, **spec: Any) -> Manifest:
    """A policy of the namespace."""
    manifest = {"metadata": {"name": name, "namespace": namespace}, "spec": {"targetRef": TARGET, **spec}}
    return await cluster.create(BACKUP_POLICY, manifest)


def target(namespace: str) -> BackupTarget:
    """The namespace's own target."""
    spec = {
        "s3": {"bucket": "backups"},
        "credentialsSecretRef": {"name": "credentials"},
        "encryption": {"keySecretRef": {"name": "key"}},
    }
    return BackupTarget.model_validate({"metadata": {"name": "own", "namespace": namespace}, "spec": spec})


async def test_all_that_decides_is_read(cluster: Cluster, namespace: str) -> None:
    """Rules of policies and of tiers with their places, policies without rules, VMs that exist, and held points."""
    weekly = {"name": "weekly", "schedule": "@weekly", "retention": {"keepWeekly": 4}}
    gold = await policy(
        cluster,
        namespace,
        "gold",
        schedules=[weekly, {"name": "daily", "schedule": "@daily"}],
        retention={"keepLast": 2},
    )
    silver = await policy(cluster, namespace, "silver", schedule="@daily")
    machine = await cluster.create(
        VM, {"metadata": {"name": "db", "namespace": namespace}, "spec": {"template": {"spec": {"domain": {}}}}}
    )
    for name, hold in (("held", True), ("free", False)):
        spec = {"vm": {"name": "db"}, "targetRef": TARGET, "hold": hold}
        await cluster.create(VM_BACKUP, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})
        status = {"status": {"restorePoint": f"point-{name}"}}
        await cluster.merge_patch(VM_BACKUP, name, namespace, status, subresource="status")
    governed = await read_governed(cluster, target(namespace), NOW)
    place = (await cluster.read(NAMESPACE, namespace))["metadata"]["uid"]
    uid = gold["metadata"]["uid"]
    found = [(rules.policy, rules.name, rules.namespace_uid, rules.tier) for rules in governed.rules]
    assert found == [(uid, "BackupPolicy/gold", place, ""), (uid, "BackupPolicy/gold", place, "weekly")]
    assert set(governed.policies) == {uid, silver["metadata"]["uid"]}
    assert list(governed.held) == ["point-held"]
    assert [machine["metadata"]["uid"] in governed.machines, "another" in governed.machines] == [True, False]


async def test_a_preview_goes_with_the_rules_that_it_was_made_by(cluster: Cluster, namespace: str) -> None:
    """What a policy without retention any more would delete next is not told; one that has rules is told of its own."""

    async def previewed(name: str) -> bool:
        return "retentionPreview" in (await cluster.read(BACKUP_POLICY, name, namespace)).get("status", {})

    for name in ("gold", "silver"):
        await policy(cluster, namespace, name, schedule="@daily", retention={"keepLast": 2})
    await show_previews(cluster, target(namespace), [], NOW)
    assert [await previewed("gold"), await previewed("silver")] == [True, True]
    await cluster.merge_patch(BACKUP_POLICY, "silver", namespace, {"spec": {"retention": None}})
    await show_previews(cluster, target(namespace), [], NOW)
    assert [await previewed("gold"), await previewed("silver")] == [True, False]
