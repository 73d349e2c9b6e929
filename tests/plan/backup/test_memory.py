"""The memory dump of a run: in which order it comes about, and that nothing of it ever fails the backup."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan.backup.objects import RULES, START, new_backup
from tests.plan.backup.world import World

from safehold.api.capture import MemoryDump
from safehold.plan.backup.capture_facts import CaptureFacts
from safehold.plan.backup.memory import OVERHEAD_BYTES, PATIENCE, claim_bytes, dump_memory, give_up
from safehold.plan.backup.memory_facts import (
    MEMORY_VOLUME,
    CreateDumpClaim,
    DumpClaim,
    DumpRequest,
    DumpSnapshot,
    MemoryFacts,
    RemoveMemoryDump,
    RequestMemoryDump,
    SnapshotDumpClaim,
)
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.worker import follow_worker
from safehold.plan.job import JobFacts
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.report import RunReport, VolumeReport

CLAIM = "safehold-memory-db-1"
OURS = DumpClaim(uid="claim-uid", ours=True, deleting=False)
BEGUN = MemoryDump(phase="Dumping", start_time=START, claim_name=CLAIM, claim_uid="claim-uid")
COMPLETED = DumpRequest(claim=CLAIM, phase="Completed", file_name="db.memory.dump")
SEEN = MemoryFacts(guest_bytes=1 << 30, locked_by=None, request=None, attached=False, claim=OURS, snapshot=None)


def captured() -> CaptureFacts:
    """The disks of the VM, as KubeVirt cut them."""
    world = World(new_backup())
    world.take_snapshot()
    world.snapshot = 2
    facts = world.snapshot_facts()
    assert facts is not None
    assert facts.capture is not None
    return facts.capture


def run(
    seen: MemoryFacts | None, dump: MemoryDump | None, *, later: timedelta = timedelta(), wanted: bool = True
) -> Run:
    """One look."""
    backup = new_backup()
    spec = backup.spec.model_copy(update={"memory_dump": wanted})
    status = backup.status.model_copy(update={"memory_dump": dump})
    backup = backup.model_copy(update={"spec": spec, "status": status})
    facts = replace(World(backup).facts(), memory=seen)
    return Run(backup=backup, facts=facts, rules=RULES, now=START + later)


def decide(seen: MemoryFacts | None, dump: MemoryDump | None, **options: Any) -> Decision | None:
    """One decision."""
    return dump_memory(run(seen, dump, **options), captured())


def changed(decision: Decision | None) -> MemoryDump:
    """The status of the dump after a decision."""
    assert decision is not None
    assert decision.status.memory_dump is not None
    return decision.status.memory_dump


@pytest.mark.parametrize("phase", ["Captured", "Stored", "Failed"])
def test_nothing_is_done_once_a_dump_has_ended(phase: Any) -> None:
    """Nor where none was asked for."""
    assert decide(SEEN, BEGUN.model_copy(update={"phase": phase})) is None
    assert decide(SEEN, None, wanted=False) is None
    assert decide(None, None) is None


def test_the_claim_is_made_on_storage_of_the_first_disk_and_recorded_before_it_is_used() -> None:
    """First the record, then the claim, then its uid, then the request."""
    begun = changed(decide(SEEN, None))
    assert (begun.phase, begun.claim_uid) == ("Dumping", None)
    made = decide(replace(SEEN, claim=None), begun)
    assert made is not None
    (step,) = made.steps
    assert isinstance(step, CreateDumpClaim)
    assert (step.storage_class, step.namespace, step.size_bytes) == ("fast", "shop", claim_bytes(1 << 30))
    known = decide(SEEN, begun)
    assert known is not None
    assert known.steps == ()
    assert changed(known).claim_uid == "claim-uid"
    asked = decide(SEEN, changed(known))
    assert asked is not None
    assert [type(each) for each in asked.steps] == [RequestMemoryDump]


def test_the_vm_is_not_touched_while_a_snapshot_holds_it() -> None:
    """KubeVirt refuses changes of a VM during a snapshot, which may still be the run's own."""
    waiting = decide(replace(SEEN, locked_by="snap"), BEGUN)
    assert waiting is not None
    assert waiting.steps == ()
    assert waiting.again == RULES.poll_seconds


def test_a_complete_dump_is_detached_then_snapshotted() -> None:
    """A snapshot of a claim that is still plugged would be of a file system that somebody has mounted."""
    ended = changed(decide(replace(SEEN, request=COMPLETED, attached=True), BEGUN))
    assert (ended.phase, ended.file_name) == ("Detaching", "db.memory.dump")
    detaching = decide(replace(SEEN, request=COMPLETED, attached=True), ended)
    assert detaching is not None
    assert [type(step) for step in detaching.steps] == [RemoveMemoryDump]
    going = decide(replace(SEEN, request=replace(COMPLETED, phase="Dissociating"), attached=True), ended)
    assert going is not None
    assert going.steps == ()
    plugged = decide(replace(SEEN, attached=True), ended)
    assert plugged is not None
    assert changed(plugged).phase == "Detaching"
    free = changed(decide(SEEN, ended))
    assert free.phase == "Snapshotting"
    snapshotted = decide(SEEN, free)
    assert snapshotted is not None
    assert [type(step) for step in snapshotted.steps] == [SnapshotDumpClaim]
    unbound = decide(replace(SEEN, snapshot=DumpSnapshot(bound=False)), free)
    assert changed(unbound).phase == "Snapshotting"
    assert changed(decide(replace(SEEN, snapshot=DumpSnapshot(bound=True)), free)).phase == "Captured"


@pytest.mark.parametrize(
    ("seen", "dump", "later", "reason", "words"),
    [
        (replace(SEEN, guest_bytes=None), None, timedelta(), Reason.NOT_RUNNING, "does not run"),
        (SEEN, BEGUN, PATIENCE + timedelta(seconds=1), Reason.TIMED_OUT, "within 15 minutes"),
        (replace(SEEN, claim=None), BEGUN, timedelta(), Reason.MEMORY_DUMP_FAILED, "somebody deleted claim"),
        (replace(SEEN, claim=replace(OURS, uid="another")), BEGUN, timedelta(), Reason.MEMORY_DUMP_FAILED, "deleted"),
        (replace(SEEN, claim=replace(OURS, deleting=True)), BEGUN, timedelta(), Reason.MEMORY_DUMP_FAILED, "deleted"),
        (replace(SEEN, claim=replace(OURS, ours=False)), BEGUN, timedelta(), Reason.MEMORY_DUMP_FAILED, "not of this"),
        (replace(SEEN, claim=replace(OURS, refusal="gate")), BEGUN, timedelta(), Reason.MEMORY_DUMP_FAILED, "gate"),
        (
            replace(SEEN, request=replace(COMPLETED, claim="own")),
            BEGUN,
            timedelta(),
            Reason.MEMORY_DUMP_FAILED,
            "virtctl memory-dump remove db",
        ),
        (
            replace(SEEN, request=DumpRequest(claim=CLAIM, phase="Failed", message="no space")),
            BEGUN,
            timedelta(),
            Reason.MEMORY_DUMP_FAILED,
            "no space",
        ),
        (
            replace(SEEN, request=replace(COMPLETED, file_name="../../etc/passwd")),
            BEGUN,
            timedelta(),
            Reason.MEMORY_DUMP_FAILED,
            "no usable file",
        ),
    ],
)
def test_a_dump_that_fails_is_told_and_the_run_goes_on(
    seen: MemoryFacts, dump: MemoryDump | None, later: timedelta, reason: Reason, words: str
) -> None:
    """The run itself has no failure, and what the dump had of handles and volumes is dropped."""
    decision = decide(seen, dump, later=later)
    assert decision is not None
    failed = changed(decision)
    assert (failed.phase, failed.reason) == ("Failed", reason)
    assert words in (failed.message or "")
    assert failed.end_time is not None
    assert decision.status.failure is None


def test_a_snapshot_of_the_dump_that_is_lost_later_costs_the_dump_only() -> None:
    """Its handle and its volume leave the record, those of the disks stay."""
    looked = run(SEEN, BEGUN.model_copy(update={"phase": "Captured"}))
    volume = {"mode": "Block", "claimName": "c", "claimUID": "u", "capacityBytes": 1}
    status = looked.status.model_validate(
        {
            **looked.status.model_dump(by_alias=True),
            "volumes": [
                {"name": "data", **volume},
                {"name": MEMORY_VOLUME, "role": "MemoryDump", **volume},
            ],
        }
    )
    decision = give_up(looked.with_status(status), Refusal(Reason.SNAPSHOT_FAILED, "deleted"))
    assert [each.name for each in decision.status.volumes] == ["data"]


@pytest.mark.parametrize(("stored", "phase"), [(True, "Stored"), (False, "Failed")])
def test_the_workers_report_says_whether_the_dump_was_stored(stored: bool, phase: str) -> None:
    """A file that the worker could not read costs the dump only: the point of the disks counts."""
    volume = {"mode": "Filesystem", "claimName": "c", "claimUID": "u", "capacityBytes": 1}
    looked = run(None, BEGUN.model_copy(update={"phase": "Captured", "file_name": "db.memory.dump"}))
    status = looked.status.model_validate(
        {
            **looked.status.model_dump(by_alias=True),
            "volumes": [{"name": "data", **volume}, {"name": MEMORY_VOLUME, "role": "MemoryDump", **volume}],
        }
    )
    names = ["data", MEMORY_VOLUME] if stored else ["data"]
    report = RunReport(
        run_id=looked.uid,
        verb="backup",
        succeeded=True,
        reason="Succeeded",
        message="",
        restore_point="point-1",
        volumes=[VolumeReport(name=name, bytes_total=1) for name in names],
    )
    job = JobFacts(name="job", uid="job-uid", outcome="Complete", termination_message=report.model_dump_json())
    decision = follow_worker(looked.with_status(status), job)
    assert decision.status.restore_point == "point-1"
    assert decision.status.failure is None
    assert changed(decision).phase == phase
    assert [each.name for each in decision.status.volumes] == names


@given(st.integers(min_value=0, max_value=1 << 45))
def test_the_claim_holds_the_memory_and_what_kubevirt_demands_beside_its_file_system(guest_bytes: int) -> None:
    """Also after 6 % for the file system, in whole MiB, and not wastefully larger."""
    size = claim_bytes(guest_bytes)
    assert size % (1 << 20) == 0
    assert size * 0.94 >= guest_bytes + OVERHEAD_BYTES - 1
    assert size <= (guest_bytes + OVERHEAD_BYTES) * 1.07 + (2 << 20)
