"""What is noted of VMBackups as they are read: newest points and last failures, by policy and VM."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from safehold.kube.client import Manifest
from safehold.kube.outcomes import OutcomeRecord
from safehold.plan.names import POLICY_UID, backup_name
from safehold.plan.policy.facts import RUN, run_label
from safehold.plan.policy.outcomes import MachineOutcome

TWO = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def backup(run: datetime, *, name: str | None = None, vm: str = "db", **status: Any) -> Manifest:
    """A VMBackup that a policy made in this run."""
    labels = {POLICY_UID: "policy", RUN: run_label(run)}
    metadata = {"name": name or backup_name("policy", vm, run), "namespace": "shop", "labels": labels}
    return {"metadata": metadata, "spec": {"vm": {"name": vm}}, "status": status}


def good(run: datetime, *, uid: str = "uid-db", **changes: Any) -> Manifest:
    """One that made a point a minute after its run time."""
    moment = (run + timedelta(minutes=1)).isoformat()
    status = {"completionTime": moment, "captureTime": moment, "restorePoint": "p", "vmUID": uid}
    return backup(run, **{**status, **changes})


def failed(run: datetime, message: str) -> Manifest:
    """One that failed."""
    failure = {"reason": "JobFailed", "message": message}
    return backup(run, completionTime=run.isoformat(), failure=failure)


def outcome(record: OutcomeRecord) -> MachineOutcome | None:
    """What is known of the VM."""
    return record.of("policy").get(("shop", "db"))


def test_the_newest_point_and_the_last_failure_stay() -> None:
    """In whatever order they are read, and however often."""
    record = OutcomeRecord()
    for found in (failed(TWO, "second"), good(TWO), good(TWO - HOUR), failed(TWO - HOUR, "first"), good(TWO)):
        record.note(found)
    known = outcome(record)
    assert known is not None
    assert known.points == {"uid-db": TWO + timedelta(minutes=1)}
    assert known.failure is not None
    assert (known.failure.reason, known.failure.message) == ("JobFailed", "second")


def test_vms_of_one_name_are_told_apart_by_their_uid() -> None:
    """A VM that was created again has points of its own."""
    record = OutcomeRecord()
    record.note(good(TWO - HOUR, uid="earlier"))
    record.note(good(TWO))
    known = outcome(record)
    assert known is not None
    assert known.points.keys() == {"earlier", "uid-db"}


def test_what_is_no_outcome_of_the_policy_is_not_noted() -> None:
    """A run that goes on, a copy by hand with the policy's labels, and one that a person created."""
    record = OutcomeRecord()
    by_hand = good(TWO)
    del by_hand["metadata"]["labels"]
    for found in (backup(TWO, startTime=TWO.isoformat()), good(TWO, name="copied-by-hand"), by_hand):
        record.note(found)
    assert outcome(record) is None


def test_a_round_forgets_what_is_gone() -> None:
    """What was read in it, or noted meanwhile, stays; a point whose VMBackup somebody deleted goes."""
    record = OutcomeRecord()
    record.note(good(TWO))
    record.note(good(TWO, vm="web", vmUID="uid-web"))
    with record.renewing():
        record.note(good(TWO - HOUR))
        record.note(failed(TWO + HOUR, "meanwhile"))
        assert outcome(record) is not None, "until the round is over, what was known stays"
    known = outcome(record)
    assert known is not None
    assert known.points == {"uid-db": TWO - HOUR + timedelta(minutes=1)}
    assert known.failure is not None
    assert list(record.of("policy")) == [("shop", "db")]


def test_a_round_that_breaks_off_forgets_nothing() -> None:
    """The API server may not answer to the end."""
    record = OutcomeRecord()
    record.note(good(TWO))
    with pytest.raises(TimeoutError), record.renewing():
        raise TimeoutError
    assert outcome(record) is not None
