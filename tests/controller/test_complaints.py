"""What keeps an object from coming further is told in its conditions, on an API server with Safehold's definitions."""

import asyncio
from functools import partial
from typing import Any

import pytest
from tests.controller.conftest import NOW, SHOP, served

from safehold.api.vmbackup import VMBackupStatus
from safehold.controller import policies
from safehold.controller.complaints import complain, under_complaint
from safehold.controller.memo import Operator
from safehold.controller.queue import SILENT_RETRIES, Complain, Key, Reconcile, WorkQueue
from safehold.errors import ClusterUnavailableError, ForbiddenError, SafeholdError
from safehold.kube.kinds import BACKUP_POLICY, BACKUP_TARGET, VM_BACKUP, Kind
from safehold.plan.conditions import conditions_for
from safehold.reasons import Reason

TARGET_REF = {"kind": "BackupTarget", "name": "own"}
POLICY = {"schedule": "0 3 * * *", "targetRef": TARGET_REF}
TARGET = {
    "s3": {"bucket": "backups"},
    "encryption": {"keySecretRef": {"name": "key"}},
    "credentialsSecretRef": {"name": "credentials"},
}


async def create(operator: Operator, kind: Kind, spec: dict[str, Any]) -> Key:
    """An object of ours."""
    await served(operator.cluster, kind)
    await operator.cluster.create(kind, {"metadata": {"name": "one", "namespace": SHOP}, "spec": spec})
    return SHOP, "one"


async def status(operator: Operator, kind: Kind) -> dict[str, Any]:
    """The object's status, and in it its conditions by type."""
    found = (await operator.cluster.read(kind, "one", SHOP)).get("status") or {}
    return {**found, "conditions": {entry["type"]: entry for entry in found.get("conditions") or []}}


async def first_complaint(plural: str, key: Key, reconcile: Reconcile, tell: Complain) -> SafeholdError:
    """Run a queue until it has told the first complaint."""
    told: asyncio.Future[SafeholdError] = asyncio.get_running_loop().create_future()

    async def listen(about: Key, error: SafeholdError) -> None:
        await tell(about, error)
        if not told.done():
            told.set_result(error)

    queue = WorkQueue(plural, reconcile, complain=listen)
    task = asyncio.create_task(queue.run())
    queue.add(key)
    try:
        return await asyncio.wait_for(told, 20)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def silence(_: Key, __: SafeholdError) -> None:
    """Tell nobody."""


async def test_a_cluster_without_kubevirt_is_named_in_the_policy(operator: Operator) -> None:
    """Without VirtualMachines the policy is not Ready, and says what to install."""
    key = await create(operator, BACKUP_POLICY, POLICY)
    plural = BACKUP_POLICY.plural
    await first_complaint(plural, key, policies.reconciles(operator)[plural], partial(complain, operator, plural))
    ready = (await status(operator, BACKUP_POLICY))["conditions"]["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "NotInstalled")
    assert "install the component that brings it" in ready["message"]


async def test_what_is_forbidden_is_told_at_once(operator: Operator) -> None:
    """A call that RBAC forbids shows with its reason after the first try, and the object goes on by itself."""

    async def forbidden(_: Key) -> float | None:
        raise ForbiddenError("the Kubernetes API refused to list virtualmachines", found="not allowed")

    key = await create(operator, VM_BACKUP, {"vm": {"name": "db"}, "targetRef": TARGET_REF})
    await first_complaint(VM_BACKUP.plural, key, forbidden, partial(complain, operator, VM_BACKUP.plural))
    conditions = (await status(operator, VM_BACKUP))["conditions"]
    assert {kind: entry["status"] for kind, entry in conditions.items()} == {
        "Ready": "False",
        "Reconciling": "True",
        "Stalled": "False",
    }
    assert conditions["Ready"]["reason"] == "Forbidden"


def test_a_complaint_stands_until_the_step_is_done() -> None:
    """A step that is tried again and again does not make the conditions go back and forth."""
    fine, stuck = (
        VMBackupStatus(
            conditions=conditions_for("InProgress", [], generation=1, now=NOW, reason=reason, message=message)
        )
        for reason, message in (
            (Reason.RUNNING, "starts the worker"),
            (Reason.FORBIDDEN, "refused (it is tried again)"),
        )
    )
    decided = fine.model_copy(update={"job_name": "job"})
    kept = under_complaint(stuck, decided)
    assert (kept.conditions, kept.job_name) == (stuck.conditions, "job")
    assert under_complaint(fine, decided) == decided


async def test_a_defect_is_told_without_what_it_saw() -> None:
    """An unexpected exception is reported by its type only: its text may hold anything."""

    async def broken(_: Key) -> float | None:
        raise KeyError("swordfish")

    error = await first_complaint("vmbackups", (SHOP, "one"), broken, silence)
    assert error.reason == "InternalError"
    assert "KeyError" in str(error)
    assert "swordfish" not in str(error)


async def test_what_may_pass_is_told_when_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API server that does not answer is given some tries before anybody is told."""
    monkeypatch.setattr("safehold.controller.queue.RETRY_SECONDS", (0.01, 0.01))
    tries: list[Key] = []

    async def unavailable(key: Key) -> float | None:
        tries.append(key)
        raise ClusterUnavailableError("no answer")

    await first_complaint("vmbackups", (SHOP, "one"), unavailable, silence)
    assert len(tries) == SILENT_RETRIES + 1


async def test_a_target_is_checked_anew_after_a_complaint(operator: Operator) -> None:
    """A target's condition comes from its last check, so the complaint asks for another one, and keeps the rest."""
    key = await create(operator, BACKUP_TARGET, TARGET)
    later = "2026-11-22T15:00:00Z"
    checked = {
        "metadata": {"name": "one", "namespace": SHOP},
        "status": {"repositoryID": "repo", "nextValidationTime": later, "observedGeneration": 1},
    }
    await operator.cluster.apply(BACKUP_TARGET, checked, subresource="status")
    await complain(operator, BACKUP_TARGET.plural, key, ForbiddenError("the Kubernetes API refused to list jobs"))
    told = await status(operator, BACKUP_TARGET)
    assert told["conditions"]["Ready"]["reason"] == "Forbidden"
    assert (told["repositoryID"], told["observedGeneration"]) == ("repo", 1)
    assert "nextValidationTime" not in told


async def test_a_run_that_is_over_keeps_its_end(operator: Operator) -> None:
    """A finished VMBackup is not made unfinished by a call that fails."""
    key = await create(operator, VM_BACKUP, {"vm": {"name": "db"}, "targetRef": TARGET_REF})
    over = {
        "metadata": {"name": "one", "namespace": SHOP},
        "status": {"phase": "Completed", "completionTime": "2026-11-22T13:00:00Z"},
    }
    await operator.cluster.apply(VM_BACKUP, over, subresource="status")
    await complain(operator, VM_BACKUP.plural, key, ForbiddenError("the Kubernetes API refused to get namespaces"))
    assert (await status(operator, VM_BACKUP))["conditions"] == {}
