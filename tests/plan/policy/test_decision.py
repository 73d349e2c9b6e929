"""Which VMBackups a policy creates when, and what its status says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.api import BackupPolicy, ClusterBackupPolicy
from safehold.api.policy import BackupPolicyStatus
from safehold.plan.conditions import READY, STALLED, is_true
from safehold.plan.policy.decision import due_vms, next_run
from safehold.plan.policy.facts import (
    RUN,
    RUN_NOW,
    TIER,
    AnyPolicy,
    PolicyBackup,
    PolicyDecision,
    PolicyFacts,
    SelectedVM,
    run_label,
)
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

CREATED = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)
TWO = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
VMS = (
    SelectedVM(namespace="shop", name="db", uid="uid-db"),
    SelectedVM(namespace="shop", name="web", uid="uid-web"),
)
NIGHTS = [{"from": "22:00", "to": "06:00"}]
MISSING = Refusal(Reason.TARGET_NOT_FOUND, "there is no such target")


def policy(status: BackupPolicyStatus | None = None, *, generation: int = 1, **spec: Any) -> BackupPolicy:
    """An hourly policy of the namespace shop; `spec` replaces parts of it."""
    found = BackupPolicy.model_validate(
        {
            "metadata": {
                "name": "gold",
                "namespace": "shop",
                "uid": "policy-uid",
                "generation": generation,
                "creationTimestamp": CREATED.isoformat(),
            },
            "spec": {
                "schedule": "0 * * * *",
                "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"},
                "consistency": {"level": "Filesystem"},
                "deletionPolicy": "Delete",
                **spec,
            },
        }
    )
    return found if status is None else found.model_copy(update={"status": status})


def facts(*backups: PolicyBackup, vms: tuple[SelectedVM, ...] = VMS, target: Refusal | None = None) -> PolicyFacts:
    """What is in the cluster, with the history of every VM."""
    return PolicyFacts(vms=vms, backups=backups, with_history=frozenset(vm.uid for vm in vms), target=target)


def made(vm: str, run: datetime, *, finished: bool = True, succeeded: bool = True) -> PolicyBackup:
    """A VMBackup of an earlier look."""
    return PolicyBackup(
        namespace="shop",
        vm=vm,
        run=run_label(run),
        finished=finished,
        succeeded=finished and succeeded,
        ended=run + timedelta(minutes=10) if finished else None,
    )


def ready(decision: PolicyDecision) -> str:
    """The reason of the Ready condition, with its status."""
    condition = next(condition for condition in decision.status.conditions if condition.type == READY)
    return f"{condition.status} {condition.reason}"


def test_before_its_first_run_a_policy_says_when_it_is() -> None:
    """Nothing is created; the next time is in the status, and the next look is then."""
    decision = next_run(policy(), facts(), CREATED)
    assert decision.create == ()
    assert decision.status.next_schedule_time == TWO
    assert decision.status.matched_machines == 2
    assert decision.again == timedelta(minutes=5), "sooner than the run, so that new VMs are counted"
    assert ready(decision) == "True Scheduled"
    assert next_run(policy(), facts(), TWO - timedelta(seconds=90)).again == timedelta(seconds=90)


def test_a_due_run_makes_one_backup_for_each_vm() -> None:
    """Names are deterministic, the spec is copied, and the labels lead back to policy and run."""
    first = next_run(policy(), facts(), TWO + timedelta(seconds=1))
    again = next_run(policy(), facts(), TWO + timedelta(seconds=30))
    assert first.create == again.create
    assert [backup.spec["vm"] for backup in first.create] == [{"name": "db"}, {"name": "web"}]
    assert len({backup.name for backup in first.create}) == 2
    backup = first.create[0]
    assert backup.spec["targetRef"] == {"kind": "ClusterBackupTarget", "name": "primary"}
    assert backup.spec["consistency"]["level"] == "Filesystem"
    assert backup.spec["deletionPolicy"] == "Delete"
    assert backup.labels[RUN] == "20261122t140000"
    assert first.status.last_schedule_time == TWO
    assert first.status.next_schedule_time == TWO + timedelta(hours=1)
    assert first.status.active_backups == 2


def test_a_run_that_was_begun_is_finished_with_the_same_names() -> None:
    """After a death in the middle of the creations, what is missing is created, with the name it would have had."""
    begun = facts(made("db", TWO, finished=False))
    complete = next_run(policy(), facts(), TWO)
    assert next_run(policy(), begun, TWO).create == complete.create[1:]


def test_a_run_happens_once() -> None:
    """Once its status is applied the run is not due again."""
    now = TWO + timedelta(seconds=1)
    done = next_run(policy(), facts(), now).status
    assert due_vms(policy(), VMS, now) == list(VMS)
    assert due_vms(policy(done), VMS, now) == []
    assert next_run(policy(done), facts(), now).create == ()


def test_missed_runs_collapse_to_the_latest() -> None:
    """A controller that was down over five runs makes up for them with one."""
    status = next_run(policy(), facts(), CREATED).status
    late = next_run(policy(status), facts(), TWO + timedelta(hours=4, minutes=10))
    assert {backup.labels[RUN] for backup in late.create} == {"20261122t180000"}
    assert late.status.last_schedule_time == TWO + timedelta(hours=4)


def test_a_resumed_policy_does_not_make_up_for_missed_runs() -> None:
    """While suspended nothing is due; afterwards it counts from now."""
    suspended = next_run(policy(suspend=True), facts(), TWO + timedelta(minutes=5))
    assert suspended.create == ()
    assert suspended.status.next_schedule_time is None
    assert (suspended.status.phase, ready(suspended)) == ("Suspended", "True Suspended")
    resumed = next_run(policy(suspended.status, generation=2), facts(), TWO + timedelta(hours=2, minutes=5))
    assert resumed.create == ()
    assert resumed.status.next_schedule_time == TWO + timedelta(hours=3)


def test_a_changed_schedule_counts_from_now() -> None:
    """An edit never starts a run by itself."""
    status = next_run(policy(), facts(), CREATED).status
    edited = policy(status, generation=2, schedule="15 * * * *")
    decision = next_run(edited, facts(), TWO + timedelta(minutes=20))
    assert decision.create == ()
    assert decision.status.next_schedule_time == TWO + timedelta(minutes=75)


def test_a_vm_whose_earlier_backup_is_active_is_left_out() -> None:
    """Runs of one VM do not pile up; the others are not held up, and the message names who was left out."""
    earlier = facts(made("db", TWO - timedelta(hours=1), finished=False))
    decision = next_run(policy(), earlier, TWO)
    assert [backup.spec["vm"]["name"] for backup in decision.create] == ["web"]
    assert decision.skipped == ("db",)
    assert "being active: db" in decision.status.conditions[0].message
    assert decision.status.skipped_machine_names == ["db"]


def test_who_was_left_out_is_told_until_the_next_run() -> None:
    """The looks in between change nothing about it, and the run that leaves nobody out takes it back."""
    earlier = facts(made("db", TWO - timedelta(hours=1), finished=False))
    told = next_run(policy(), earlier, TWO).status
    later = next_run(policy(told), facts(made("web", TWO)), TWO + timedelta(minutes=5)).status
    assert later.conditions == told.conditions
    after = next_run(policy(later), facts(), TWO + timedelta(hours=1)).status
    assert after.skipped_machine_names == []
    assert "left out" not in after.conditions[0].message


def test_the_status_tells_how_the_last_run_went() -> None:
    """Active and failed are counted, failed ones named; a run counts as successful when all its backups did."""
    status = next_run(policy(), facts(), TWO).status
    running = next_run(policy(status), facts(made("db", TWO), made("web", TWO, finished=False)), TWO).status
    assert (running.active_backups, running.failed_machines, running.last_successful_time) == (1, 0, None)
    failed = next_run(policy(running), facts(made("db", TWO), made("web", TWO, succeeded=False)), TWO).status
    assert (failed.active_backups, failed.failed_machines, failed.failed_machine_names) == (0, 1, ["web"])
    assert failed.last_successful_time is None
    good = next_run(policy(running), facts(made("db", TWO), made("web", TWO)), TWO).status
    assert (good.failed_machines, good.last_successful_time) == (0, TWO)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"schedule": "0 0 31 2 *"}, Reason.INVALID_SCHEDULE),
        ({"schedule": "61 * * * *"}, Reason.INVALID_SCHEDULE),
        ({"timeZone": "Mars/Olympus"}, Reason.UNKNOWN_TIME_ZONE),
        ({"spread": "1h"}, Reason.SPREAD_TOO_LONG),
        ({"schedule": "0 12 * * *", "windows": NIGHTS, "startingDeadline": "1h"}, Reason.NO_ALLOWED_TIME),
    ],
)
def test_a_schedule_that_cannot_be_read_stalls_the_policy(spec: dict[str, Any], reason: Reason) -> None:
    """Nothing is created, nothing is retried, and the sentence says what to write."""
    decision = next_run(policy(**spec), facts(), TWO)
    assert decision.create == ()
    assert decision.again is None
    assert ready(decision) == f"False {reason}"
    assert is_true(decision.status.conditions, STALLED)
    assert "write" in decision.status.conditions[0].message


def test_a_policy_without_vms_says_that_nothing_is_protected() -> None:
    """A selector that matches nothing is not a quiet success."""
    decision = next_run(policy(), facts(vms=()), TWO)
    assert decision.create == ()
    assert ready(decision) == "False NoVMSelected"
    assert decision.status.matched_machines == 0


def test_a_due_run_waits_for_its_target() -> None:
    """With a target that cannot be used nothing is created; once it can, the run that was due starts."""
    now = TWO + timedelta(minutes=1)
    waiting = next_run(policy(), facts(target=MISSING), now)
    assert waiting.create == ()
    assert ready(waiting) == "False TargetNotFound"
    assert waiting.again
    assert "starts as soon as it can" in waiting.status.conditions[0].message
    resumed = next_run(policy(waiting.status), facts(), now + timedelta(minutes=3))
    assert {backup.labels[RUN] for backup in resumed.create} == {"20261122t140000"}


def test_a_target_that_is_being_checked_is_no_stall() -> None:
    """TargetNotReady may pass by itself, so the policy is in progress."""
    decision = next_run(policy(), facts(target=Refusal(Reason.TARGET_NOT_READY, "not checked yet")), CREATED)
    assert not is_true(decision.status.conditions, STALLED)
    assert ready(decision) == "False TargetNotReady"


def test_a_cluster_policy_names_its_vms_with_their_namespaces() -> None:
    """VMs of one name in two namespaces are two VMs, and failures say which."""
    cluster: AnyPolicy = ClusterBackupPolicy.model_validate(
        {
            "metadata": {
                "name": "all",
                "uid": "cluster-policy-uid",
                "generation": 1,
                "creationTimestamp": CREATED.isoformat(),
            },
            "spec": {
                "schedule": "0 * * * *",
                "namespaceSelector": {},
                "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"},
            },
        }
    )
    vms = (
        SelectedVM(namespace="shop", name="db", uid="uid-1"),
        SelectedVM(namespace="bank", name="db", uid="uid-2"),
    )
    first = next_run(cluster, facts(vms=vms), TWO)
    assert [backup.namespace for backup in first.create] == ["shop", "bank"]
    ended = facts(made("db", TWO, succeeded=False), vms=vms)
    status = next_run(cluster.model_copy(update={"status": first.status}), ended, TWO).status
    assert status.failed_machine_names == ["shop/db"]


def test_a_fixed_target_does_not_lose_the_run() -> None:
    """An edit that leaves the schedule alone keeps what is due; one that changes it counts from now."""
    now = TWO + timedelta(minutes=3)
    waiting = next_run(policy(), facts(target=MISSING), now).status
    other = {"kind": "ClusterBackupTarget", "name": "other"}
    assert len(next_run(policy(waiting, generation=2, targetRef=other), facts(), now).create) == 2
    assert next_run(policy(waiting, generation=2, targetRef=other, spread="5m"), facts(), now).create == ()


def test_a_spread_run_succeeds_once_every_vm_has() -> None:
    """While a VM has yet to start the run is not called successful, though all that have started are."""
    spread: dict[str, Any] = {"spread": "30m"}
    status = next_run(policy(**spread), facts(), CREATED).status
    moments: list[int] = []
    started: list[str] = []
    succeeded = None
    for seconds in range(0, 1860, 30):
        decision = next_run(
            policy(status, **spread), facts(*(made(vm, TWO) for vm in started)), TWO + timedelta(seconds=seconds)
        )
        started += [backup.vm for backup in decision.create]
        moments += [seconds for _ in decision.create]
        status, succeeded = decision.status, decision.status.last_successful_time
        assert succeeded is None or len(started) == len(VMS)
    assert sorted(started) == ["db", "web"]
    assert len(set(moments)) == len(VMS), "each has its own moment"
    assert succeeded == TWO


def test_a_look_that_starts_nothing_changes_nothing() -> None:
    """Between the runs the status stays as it is, so that nothing is written."""
    status = next_run(policy(), facts(), TWO).status
    first = next_run(policy(status), facts(made("db", TWO), made("web", TWO)), TWO + timedelta(minutes=5)).status
    later = next_run(policy(first), facts(made("db", TWO), made("web", TWO)), TWO + timedelta(minutes=10)).status
    assert later == first


def test_tiers_mark_their_backups() -> None:
    """A tier's name is in the label and in the backup's name; the status has the run times of each."""
    tiers = [{"name": "weekly", "schedule": "@weekly"}, {"name": "hourly", "schedule": "@hourly"}]
    several: dict[str, Any] = {"schedule": None, "schedules": tiers}
    decision = next_run(policy(**several), facts(), TWO)
    assert {backup.labels[TIER] for backup in decision.create} == {"hourly"}
    assert not {backup.name for backup in decision.create} & {
        backup.name for backup in next_run(policy(), facts(), TWO).create
    }
    weekly, hourly = decision.status.tiers
    assert (weekly.last_schedule_time, hourly.last_schedule_time) == (None, TWO)
    assert weekly.next_schedule_time == datetime(2026, 11, 29, tzinfo=UTC)
    assert decision.status.next_schedule_time == TWO + timedelta(hours=1)


def asked(token: str, status: BackupPolicyStatus | None = None, **spec: Any) -> BackupPolicy:
    """A policy with the annotation that asks for a run."""
    found = policy(status, **spec)
    return found.model_copy(update={"metadata": found.metadata.model_copy(update={"annotations": {RUN_NOW: token}})})


def test_a_run_that_is_asked_for_is_recorded_first_and_happens_once() -> None:
    """The token gets its run time in the status before anything is created, so that a death between loses nothing."""
    now, second = CREATED + timedelta(minutes=5), timedelta(seconds=1)
    first = next_run(asked("before-upgrade"), facts(), now)
    assert (first.create, first.again) == ((), second)
    run = next_run(asked("before-upgrade", first.status, windows=NIGHTS), facts(), now + second)
    assert [(backup.vm, backup.labels[RUN]) for backup in run.create] == [
        ("db", "20261122t133501"),
        ("web", "20261122t133501"),
    ]
    assert run.status.last_schedule_time == now + second
    assert next_run(asked("before-upgrade", run.status), facts(), now + 2 * second).create == ()
    other = next_run(asked("again", run.status), facts(), now + 2 * second)
    assert other.status.run_now != run.status.run_now


def test_a_run_that_is_asked_for_waits_for_suspend_and_target() -> None:
    """While the policy is suspended, or its target cannot be used, the token is kept for later."""
    suspended = next_run(asked("now", suspend=True), facts(), CREATED).status
    assert suspended.run_now is None
    waiting = next_run(asked("now"), facts(target=MISSING), CREATED).status
    assert waiting.run_now is None
    assert next_run(asked("now", waiting), facts(), CREATED + timedelta(minutes=1)).status.run_now is not None


def test_a_vm_that_fails_again_and_again_is_held_back() -> None:
    """After three failures the next run leaves it out and says until when; then it is tried, and a success heals it."""
    hour = timedelta(hours=1)
    failures = [made("db", TWO - count * hour, succeeded=False) for count in (3, 2, 1)]
    often: dict[str, Any] = {"schedule": "*/10 * * * *"}
    status = next_run(policy(**often), facts(), CREATED).status
    held = next_run(policy(status, **often), facts(*failures), TWO)
    assert [backup.vm for backup in held.create] == ["web"]
    (delay,) = held.status.delayed_machines
    assert (delay.name, delay.failures) == ("db", 3)
    assert TWO - hour * 0.85 < delay.until <= TWO + timedelta(minutes=10)
    assert held.delayed == (delay,)
    assert "held back after repeated failures (status.delayedMachines): db" in held.status.conditions[0].message
    waited = policy(held.status, **often)
    assert due_vms(waited, VMS, delay.until) == list(VMS) or due_vms(waited, VMS, delay.until) == [VMS[0]]
    tried = next_run(waited, facts(*failures), delay.until)
    assert "db" in {backup.vm for backup in tried.create}
    assert tried.status.delayed_machines == []
    healed = next_run(policy(tried.status, **often), facts(*failures, made("db", TWO)), TWO + hour)
    assert {backup.vm for backup in healed.create} == {"db", "web"}


def test_a_start_after_the_deadline_is_told() -> None:
    """The status names the run and its VMs, and they are told of once."""
    late: dict[str, Any] = {"startingDeadline": "10m"}
    status = next_run(policy(**late), facts(), CREATED).status
    decision = next_run(policy(status, **late), facts(), TWO + timedelta(minutes=20))
    assert (decision.create, decision.missed) == ((), ("db", "web"))
    assert (decision.status.last_missed_time, decision.status.missed_machine_names) == (TWO, ["db", "web"])
    assert next_run(policy(decision.status, **late), facts(), TWO + timedelta(minutes=25)).missed == ()


def test_an_edited_schedule_forgets_what_was_being_made_up_for() -> None:
    """Also while the target cannot be used: an edit never starts a run."""
    spread: dict[str, Any] = {"spread": "30m"}
    status = next_run(policy(**spread), facts(), TWO + timedelta(hours=3)).status
    assert status.make_ups
    edited: dict[str, Any] = {"schedule": "45 * * * *", **spread}
    waiting = next_run(policy(status, **edited), facts(target=MISSING), TWO + timedelta(hours=3, seconds=10)).status
    assert waiting.make_ups == []
