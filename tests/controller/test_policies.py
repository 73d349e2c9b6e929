"""Reconciles of policies on an API server: real VirtualMachines are selected, real VMBackups are created once."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.controller.conftest import NOW, SHOP, define, served

from safehold.controller.memo import Operator
from safehold.controller.policies import reconcile_cluster_policy, reconcile_policy
from safehold.kube.client import Manifest
from safehold.kube.kinds import (
    BACKUP_POLICY,
    CLUSTER_BACKUP_POLICY,
    CLUSTER_BACKUP_TARGET,
    EVENT,
    NAMESPACE,
    VM,
    VM_BACKUP,
)
from safehold.plan.names import POLICY_UID, backup_name
from safehold.plan.policy.facts import RUN, run_label

TARGET_REF = {"kind": "ClusterBackupTarget", "name": "primary"}
HOUR = timedelta(hours=1)


async def prepare(operator: Operator, *, ready: bool = True) -> None:
    """VMs `db` (labelled), `web` and `left-out` in the shop, and a target that serves it."""
    cluster = operator.cluster
    await define(cluster, VM)
    await served(cluster, VM_BACKUP)
    for name, labels in (("db", {"tier": "gold"}), ("web", {}), ("left-out", {"safehold.dev/exclude": "true"})):
        await cluster.create(VM, {"metadata": {"name": name, "namespace": SHOP, "labels": labels}})
    spec = {
        "s3": {"bucket": "backups", "endpoint": "https://s3.example.org"},
        "encryption": {"keySecretRef": {"name": "key"}},
        "allowedNamespaces": {"names": [SHOP]},
    }
    created = await cluster.create(CLUSTER_BACKUP_TARGET, {"metadata": {"name": "primary"}, "spec": spec})
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "observedGeneration": created["metadata"]["generation"],
        "lastTransitionTime": NOW.isoformat(),
        "reason": "Succeeded",
        "message": "checked",
    }
    await cluster.merge_patch(
        CLUSTER_BACKUP_TARGET, "primary", None, {"status": {"conditions": [condition]}}, subresource="status"
    )


def at(operator: Operator, later: timedelta) -> Operator:
    """The operator at another time; policies of these tests are created by the server's clock, long before NOW."""
    return replace(operator, now=lambda: NOW + timedelta(days=36500) + later)


async def policy(operator: Operator, **spec: Any) -> Manifest:
    """An hourly policy of the shop."""
    wanted = {"schedule": "0 * * * *", "targetRef": TARGET_REF, **spec}
    return await operator.cluster.create(
        BACKUP_POLICY, {"metadata": {"name": "gold", "namespace": SHOP}, "spec": wanted}
    )


async def backups(operator: Operator) -> list[str]:
    """VMs of the VMBackups that there are, in order."""
    return sorted(found["spec"]["vm"]["name"] for found in await operator.cluster.list(VM_BACKUP))


async def test_a_due_run_creates_a_backup_for_each_selected_vm_once(operator: Operator) -> None:
    """Selected by labels, without those that opt out; a second look creates nothing."""
    await prepare(operator)
    await policy(operator)
    for _ in range(2):
        await reconcile_policy(at(operator, timedelta()), (SHOP, "gold"))
    assert await backups(operator) == ["db", "web"]
    status = (await operator.cluster.read(BACKUP_POLICY, "gold", SHOP))["status"]
    assert (status["phase"], status["matchedMachines"], status["activeBackups"]) == ("Scheduled", 2, 2)
    assert [event["reason"] for event in await operator.cluster.list(EVENT, SHOP)].count("RunStarted") == 1


async def test_backups_belong_to_nobody_but_carry_the_policys_labels(operator: Operator) -> None:
    """Deleting the policy must not delete its backups: no ownerReference, only labels."""
    await prepare(operator)
    created = await policy(operator, selector={"matchLabels": {"tier": "gold"}}, deletionPolicy="Delete")
    await reconcile_policy(at(operator, timedelta()), (SHOP, "gold"))
    (backup,) = await operator.cluster.list(VM_BACKUP, SHOP)
    assert "ownerReferences" not in backup["metadata"]
    assert backup["metadata"]["labels"]["safehold.dev/policy-uid"] == created["metadata"]["uid"]
    assert (backup["spec"]["vm"]["name"], backup["spec"]["deletionPolicy"]) == ("db", "Delete")


async def test_the_next_look_is_at_the_next_run(operator: Operator) -> None:
    """The reconcile asks to be called again when something is due, or the counts get old."""
    await prepare(operator)
    await policy(operator)
    assert await reconcile_policy(at(operator, timedelta(minutes=59)), (SHOP, "gold")) == pytest.approx(60, abs=1)
    assert await reconcile_policy(at(operator, timedelta()), (SHOP, "another")) is None


async def test_a_run_waits_for_its_target_and_is_not_lost(operator: Operator) -> None:
    """While the target is not ready nothing is created; then the same run starts."""
    await prepare(operator, ready=False)
    await policy(operator)
    assert await reconcile_policy(at(operator, timedelta()), (SHOP, "gold"))
    assert await backups(operator) == []
    found = await operator.cluster.read(CLUSTER_BACKUP_TARGET, "primary")
    found["status"]["conditions"][0]["status"] = "True"
    await operator.cluster.merge_patch(
        CLUSTER_BACKUP_TARGET, "primary", None, {"status": found["status"]}, subresource="status"
    )
    await reconcile_policy(at(operator, timedelta(minutes=5)), (SHOP, "gold"))
    assert await backups(operator) == ["db", "web"]


async def test_a_cluster_policy_reaches_into_the_namespaces_it_selects(operator: Operator) -> None:
    """VMs of other namespaces are left alone."""
    await prepare(operator)
    for name, labels in (("bank", {"backup": "yes"}), ("lab", {})):
        await operator.cluster.create(NAMESPACE, {"metadata": {"name": name, "labels": labels}})
        await operator.cluster.create(VM, {"metadata": {"name": "db", "namespace": name}})
    await operator.cluster.merge_patch(NAMESPACE, SHOP, None, {"metadata": {"labels": {"backup": "yes"}}})
    spec = {
        "schedule": "0 * * * *",
        "targetRef": TARGET_REF,
        "namespaceSelector": {"matchLabels": {"backup": "yes"}},
    }
    await operator.cluster.create(CLUSTER_BACKUP_POLICY, {"metadata": {"name": "all"}, "spec": spec})
    await reconcile_cluster_policy(at(operator, timedelta()), ("", "all"))
    found = await operator.cluster.list(VM_BACKUP)
    named = sorted((backup["metadata"]["namespace"], backup["spec"]["vm"]["name"]) for backup in found)
    assert named == [("bank", "db"), (SHOP, "db"), (SHOP, "web")]


async def test_a_failed_run_that_still_cleans_up_does_not_hold_up_the_next(operator: Operator) -> None:
    """A worker's lost node may keep one VMBackup for days; one that is active is what keeps its VM out of a run."""
    await prepare(operator)
    await policy(operator)
    await reconcile_policy(at(operator, timedelta()), (SHOP, "gold"))
    failure = {"phase": "CleaningUp", "failure": {"reason": "NodeLost", "message": "node-7 does not answer"}}
    (stuck,) = [item for item in await operator.cluster.list(VM_BACKUP) if item["spec"]["vm"]["name"] == "db"]
    name = stuck["metadata"]["name"]
    await operator.cluster.merge_patch(VM_BACKUP, name, SHOP, {"status": failure}, subresource="status")
    await reconcile_policy(at(operator, HOUR), (SHOP, "gold"))
    assert await backups(operator) == ["db", "db", "web"]
    status = (await operator.cluster.read(BACKUP_POLICY, "gold", SHOP))["status"]
    assert status["skippedMachineNames"] == ["web"]


async def test_a_vm_that_fails_again_and_again_is_held_back(operator: Operator) -> None:
    """Three failed backups in a row hold a VM back: status and Event say until when, and the other VM runs."""
    await prepare(operator)
    await policy(operator, schedule="*/10 * * * *")
    for run in range(3):
        await reconcile_policy(at(operator, timedelta(minutes=10 * run)), (SHOP, "gold"))
        for found in await operator.cluster.list(VM_BACKUP):
            vm, name = found["spec"]["vm"]["name"], found["metadata"]["name"]
            ended = (at(operator, timedelta(minutes=10 * run + 5)).now()).isoformat()
            status: dict[str, Any] = {"phase": "Completed", "completionTime": ended}
            if vm == "db":
                status = {**status, "phase": "Failed", "failure": {"reason": "JobFailed", "message": "no memory"}}
            status["conditions"] = [_condition("Stalled" if vm == "db" else "Ready", ended)]
            if "status" not in found or not found["status"].get("completionTime"):
                await operator.cluster.merge_patch(VM_BACKUP, name, SHOP, {"status": status}, subresource="status")
    await reconcile_policy(at(operator, timedelta(minutes=30)), (SHOP, "gold"))
    assert await backups(operator) == ["db", "db", "db", "web", "web", "web", "web"]
    (delayed,) = (await operator.cluster.read(BACKUP_POLICY, "gold", SHOP))["status"]["delayedMachines"]
    assert (delayed["name"], delayed["failures"]) == ("db", 3)
    assert "BackupsDelayed" in [event["reason"] for event in await operator.cluster.list(EVENT, SHOP)]


async def test_a_vm_behind_its_rpo_is_told_once_and_counted(operator: Operator) -> None:
    """Status, metric and one Event, however often it is looked at; another one when a backup has succeeded."""
    await prepare(operator)
    created = await policy(operator, schedule="@daily", objectives={"rpo": "1h"})
    for minutes in (0, 5):
        await reconcile_policy(at(operator, timedelta(minutes=minutes)), (SHOP, "gold"))
    status = (await operator.cluster.read(BACKUP_POLICY, "gold", SHOP))["status"]
    assert (status["overdueMachines"], [worst["name"] for worst in status["worstMachines"]]) == (2, ["db", "web"])
    assert _overdue(operator) == 2
    for vm in await operator.cluster.list(VM, SHOP):
        operator.outcomes.note(_point_of(vm, created["metadata"]["uid"], at(operator, timedelta(minutes=6)).now()))
    for minutes in (10, 15):
        await reconcile_policy(at(operator, timedelta(minutes=minutes)), (SHOP, "gold"))
    status = (await operator.cluster.read(BACKUP_POLICY, "gold", SHOP))["status"]
    assert (status["overdueMachines"], status["protectedMachines"]) == (0, 2)
    assert _overdue(operator) == 0
    told = [(event["reason"], event["type"]) for event in await operator.cluster.list(EVENT, SHOP)]
    assert sorted(each for each in told if each[0].endswith("Objective")) == [
        ("BehindObjective", "Warning"),
        ("WithinObjective", "Normal"),
    ]
    await operator.cluster.delete(BACKUP_POLICY, "gold", SHOP)
    await reconcile_policy(operator, (SHOP, "gold"))
    assert _overdue(operator) is None


async def test_a_policy_in_deletion_starts_nothing_and_is_told_no_more(operator: Operator) -> None:
    """Somebody's finalizer may keep it for long: it has no figures, and the planner expects nothing of it."""
    await prepare(operator)
    created = await policy(operator, objectives={"rpo": "1h"})
    await reconcile_policy(at(operator, timedelta(minutes=59)), (SHOP, "gold"))
    made = await backups(operator)
    finalizers = {"metadata": {"finalizers": ["example.org/keeps"]}}
    await operator.cluster.merge_patch(BACKUP_POLICY, "gold", SHOP, finalizers)
    await operator.cluster.delete(BACKUP_POLICY, "gold", SHOP)
    assert created["metadata"]["uid"] in operator.load.expectations.appointments
    assert await reconcile_policy(at(operator, HOUR), (SHOP, "gold")) is None
    assert await backups(operator) == made
    assert _overdue(operator) is None
    assert not operator.load.expectations.appointments


def _overdue(operator: Operator) -> float | None:
    registry = CollectorRegistry()
    registry.register(operator.figures)
    labels = {"kind": "BackupPolicy", "namespace": SHOP, "policy": "gold"}
    return registry.get_sample_value("safehold_policy_overdue_machines", labels)


def _point_of(vm: Manifest, policy_uid: str, moment: datetime) -> Manifest:
    """A VMBackup of the policy that made a point of this VM."""
    name = vm["metadata"]["name"]
    labels = {POLICY_UID: policy_uid, RUN: run_label(moment)}
    status = {"completionTime": moment.isoformat(), "captureTime": moment.isoformat(), "restorePoint": "p"}
    return {
        "metadata": {"name": backup_name(policy_uid, name, moment), "namespace": SHOP, "labels": labels},
        "spec": {"vm": {"name": name}},
        "status": {**status, "vmUID": vm["metadata"]["uid"]},
    }


def _condition(kind: str, moment: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": moment,
        "reason": "Succeeded",
        "message": "over",
    }
