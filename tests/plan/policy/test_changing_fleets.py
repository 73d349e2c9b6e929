"""Selectors that change in mid-run, policies of one name, and VMs that come back under an old name."""

from datetime import timedelta
from typing import Any

from tests.plan.policy.test_decision import CREATED, TWO, facts, made, policy
from tests.plan.policy.test_repeats import failed

from safehold.api import BackupPolicy, ClusterBackupPolicy
from safehold.plan.policy.decision import next_run
from safehold.plan.policy.facts import AnyPolicy, PolicyBackup, SelectedVM, run_label

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
SPREAD: dict[str, Any] = {"schedule": "0 14 * * *", "spread": "1h"}


def machines(*names: str) -> tuple[SelectedVM, ...]:
    """VMs of the shop that are older than the run."""
    return tuple(SelectedVM(namespace="shop", name=name, uid=f"uid-{name}", created=CREATED) for name in names)


def started(minutes: range, *matched: tuple[SelectedVM, ...]) -> dict[str, int]:
    """After how many minutes of one run each VM's backup was created; `matched` changes with each look."""
    found = policy(next_run(policy(**SPREAD), facts(), CREATED).status, **SPREAD)
    begun: dict[str, int] = {}
    backups: list[PolicyBackup] = []
    for number, minute in enumerate(minutes):
        vms = matched[min(number * len(matched) // len(minutes), len(matched) - 1)]
        decision = next_run(found, facts(*backups, vms=vms), TWO + minute * timedelta(minutes=1))
        for backup in decision.create:
            assert backup.vm not in begun, "no VM has two backups of one run"
            begun[backup.vm] = minute
            backups.append(
                PolicyBackup(namespace="shop", vm=backup.vm, run=run_label(TWO), finished=False, succeeded=False)
            )
        found = policy(decision.status, generation=1 + number, **SPREAD)
    return begun


def test_a_selector_that_changes_in_mid_run_counts_from_then_on() -> None:
    """What is started goes on; who is no longer matched gets none any more; who is new starts at its own moment."""
    names = [f"vm-{number}" for number in range(20)]
    before, later = machines(*names[:10]), machines(*names[5:])
    whole = started(range(61), machines(*names))
    changed = started(range(61), before, later)
    assert whole.keys() == set(names)
    for number, name in enumerate(names):
        own = whole[name]
        in_first, in_second = number < 10 and own <= 30, number >= 5 and own > 30
        assert (name in changed) == (in_first or in_second), name
        assert changed.get(name, own) == own


def _of(kind: type[AnyPolicy], namespace: str | None, uid: str, **spec: Any) -> AnyPolicy:
    metadata = {"name": "gold", "namespace": namespace, "uid": uid, "creationTimestamp": CREATED.isoformat()}
    target = {"kind": "ClusterBackupTarget", "name": "primary"}
    return kind.model_validate({"metadata": metadata, "spec": {"schedule": "0 * * * *", "targetRef": target, **spec}})


def test_policies_of_one_name_make_backups_of_their_own() -> None:
    """In two namespaces, and a cluster's beside them: the uid is in the names and labels of what they make."""
    policies = [
        _of(BackupPolicy, "shop", "first"),
        _of(BackupPolicy, "bank", "second"),
        _of(ClusterBackupPolicy, None, "third", namespaceSelector={}),
    ]
    made = [backup for found in policies for backup in next_run(found, facts(vms=machines("db")), TWO).create]
    assert len({backup.name for backup in made}) == 3
    assert {backup.labels["safehold.dev/policy-uid"] for backup in made} == {"first", "second", "third"}


def test_a_vm_that_was_created_again_does_not_take_over_what_was_due() -> None:
    """Its uid gives it a moment of its own, and runs before its creation are not its runs."""
    status = next_run(policy(), facts(), CREATED).status
    anew = (SelectedVM(namespace="shop", name="db", uid="uid-anew", created=TWO + 10 * SECOND),)
    assert next_run(policy(status), facts(vms=anew), TWO + 30 * SECOND).create == ()
    assert [backup.vm for backup in next_run(policy(status), facts(vms=anew), TWO + HOUR).create] == ["db"]


def test_failures_of_an_earlier_vm_hold_nobody_back() -> None:
    """Neither the circuit breaker nor a further try counts what ended before the VM of that name was created."""
    old = [made("db", TWO - count * HOUR, succeeded=False) for count in (3, 2, 1)]
    known = policy(next_run(policy(), facts(), TWO - SECOND).status)
    earlier, anew = (
        (SelectedVM(namespace="shop", name="db", uid="uid-db", created=at),)
        for at in (CREATED - 9 * HOUR, TWO - SECOND)
    )
    assert next_run(known, facts(*old, vms=earlier), TWO).delayed
    assert [backup.vm for backup in next_run(known, facts(*old, vms=anew), TWO).create] == ["db"]

    again = policy(next_run(known, facts(), TWO).status)
    later = TWO + HOUR / 2
    anew = (SelectedVM(namespace="shop", name="db", uid="uid-db", created=TWO + HOUR / 4),)
    assert [backup.vm for backup in next_run(again, facts(failed(), vms=earlier), later).create] == ["db"]
    assert next_run(again, facts(failed(), vms=anew), later).create == ()
