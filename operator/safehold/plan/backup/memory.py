"""The copy of the guest's memory: KubeVirt dumps it into a claim of ours, and it becomes one more volume of the point.

It is asked for once the snapshot of the disks is readable, never inside the freeze: a dump stops the guest's CPUs for
seconds. Whatever goes wrong with it is told in `status.memoryDump` and does not touch the backup of the disks.
"""

import re
from datetime import timedelta

from safehold.api.capture import MemoryDump, MemoryDumpPhase
from safehold.plan.backup.capture_facts import CapturedVolume, CaptureFacts
from safehold.plan.backup.memory_facts import (
    MEMORY_VOLUME,
    CreateDumpClaim,
    DumpClaim,
    MemoryFacts,
    RemoveMemoryDump,
    RequestMemoryDump,
    SnapshotDumpClaim,
)
from safehold.plan.backup.run import Decision, Run
from safehold.plan.names import memory_claim_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

PATIENCE = timedelta(minutes=15)
"""For the whole of a dump. It is written at the speed of storage, so this is enough for some 100 GiB of memory."""
OVERHEAD_BYTES = 100 << 20
"""What KubeVirt demands of the claim beside the guest's memory."""
FILE_SYSTEM_SHARE = 0.06
"""What virtctl leaves of the claim to its file system: CDI's default overhead."""
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
"""The name becomes part of a path in the worker."""
_PHASE = "Preparing"


def claim_bytes(guest_bytes: int) -> int:
    """The least size of a claim for the dump of so much memory, in whole MiB."""
    needed = (guest_bytes + OVERHEAD_BYTES) / (1 - FILE_SYSTEM_SHARE)
    return (int(needed) >> 20) + 1 << 20


def dump_memory(run: Run, captured: CaptureFacts) -> Decision | None:
    """The next step of the dump; None when there is nothing to do, or no more."""
    seen, dump = run.facts.memory, run.status.memory_dump
    if seen is None or not run.backup.spec.memory_dump or (dump and dump.phase in ("Captured", "Stored", "Failed")):
        return None
    if dump is None:
        return _begin(run, seen, captured)
    problem = _problem(run, seen, dump)
    if problem is not None:
        return give_up(run, problem)
    match dump.phase:
        case "Dumping":
            return _request(run, seen, dump, captured)
        case "Detaching":
            return _detach(run, seen, dump)
        case _:
            return _snapshot(run, seen, dump, captured)


def give_up(run: Run, refusal: Refusal) -> Decision:
    """Go on without the dump, whatever came of it so far; what it left is removed with the run."""
    dump = run.status.memory_dump
    assert dump is not None
    failed = dump.model_copy(
        update={
            "phase": "Failed",
            "reason": refusal.reason.value,
            "message": refusal.message[:1024],
            "end_time": dump.end_time or run.now,
        }
    )
    return run.goes_on(
        _PHASE,
        f"goes on without the memory dump: {refusal.message}"[:1024],
        memory_dump=failed,
        handles=[handle for handle in run.status.handles if handle.volume != MEMORY_VOLUME],
        volumes=[volume for volume in run.status.volumes if volume.role != "MemoryDump"],
    )


def _begin(run: Run, seen: MemoryFacts, captured: CaptureFacts) -> Decision:
    name = memory_claim_name(run.backup.metadata.name, run.uid)
    dump = MemoryDump(phase="Dumping", start_time=run.now, claim_name=name)
    begun = run.goes_on(_PHASE, "dumps the guest's memory", memory_dump=dump)
    refusal = _refuse_vm(run, seen, captured)
    if refusal is None:
        return begun
    return give_up(run.with_status(begun.status), refusal)


def _refuse_vm(run: Run, seen: MemoryFacts, captured: CaptureFacts) -> Refusal | None:
    vm = run.backup.spec.vm.name
    if seen.guest_bytes is None:
        return Refusal(Reason.NOT_RUNNING, f"VirtualMachine {vm} does not run, so it has no memory to dump")
    if MEMORY_VOLUME in captured.disks:
        return _failed(f"VirtualMachine {vm} has a volume named {MEMORY_VOLUME}; rename it")
    return None


def _problem(run: Run, seen: MemoryFacts, dump: MemoryDump) -> Refusal | None:
    """Why no dump can come of it any more."""
    if run.since(dump.start_time) > PATIENCE:
        message = f"the memory dump did not get past {dump.phase} within {PATIENCE.seconds // 60} minutes"
        return Refusal(Reason.TIMED_OUT, f"{message}: {_waiting_for(seen)}")
    if (problem := _claim_problem(seen.claim, dump)) is not None:
        return _failed(problem)
    request = seen.request
    if dump.phase != "Dumping" or request is None:
        return None
    if request.claim != dump.claim_name:
        remedy = f"end it with: virtctl memory-dump remove {run.backup.spec.vm.name}"
        return _failed(f"the VM already has a memory dump of its own, in claim {request.claim}; {remedy}")
    if request.phase == "Failed":
        return _failed(f"KubeVirt could not dump the memory: {request.message or 'no reason given'}")
    return None


def _claim_problem(claim: DumpClaim | None, dump: MemoryDump) -> str | None:
    if claim is None:
        return f"somebody deleted claim {dump.claim_name}" if dump.claim_uid else None
    if claim.deleting or dump.claim_uid not in (None, claim.uid):
        return f"somebody deleted claim {dump.claim_name}"
    if not claim.ours:
        return f"claim {dump.claim_name} exists and is not of this run"
    return f"KubeVirt refuses to dump the memory: {claim.refusal}" if claim.refusal else None


def _request(run: Run, seen: MemoryFacts, dump: MemoryDump, captured: CaptureFacts) -> Decision:
    vm = run.backup.spec.vm.name
    if seen.claim is None:
        first = _first_disk(captured)
        claim = CreateDumpClaim(
            namespace=run.namespace,
            name=dump.claim_name,
            size_bytes=claim_bytes(seen.guest_bytes or 0),
            storage_class=first.claim.storage_class if first and first.claim else None,
            labels=run.labels,
        )
        return run.goes_on(_PHASE, "makes a volume for the guest's memory", claim)
    if dump.claim_uid is None:
        return _moves(run, dump, "Dumping", claim_uid=seen.claim.uid)
    request = seen.request
    if request is None:
        if seen.locked_by:
            return run.waits(_PHASE, f"waits for VirtualMachineSnapshot {seen.locked_by} to let the VM go")
        ask = RequestMemoryDump(namespace=run.namespace, vm=vm, claim=dump.claim_name)
        return run.goes_on(_PHASE, "asks KubeVirt for the guest's memory", ask, again=run.rules.poll_seconds)
    if request.phase != "Completed":
        return run.waits(_PHASE, f"KubeVirt dumps the guest's memory: {request.phase}")
    if not _FILE_NAME.fullmatch(request.file_name):
        return give_up(run, _failed(f"KubeVirt names no usable file of the dump: {request.file_name!r}"))
    return _moves(run, dump, "Detaching", file_name=request.file_name)


def _detach(run: Run, seen: MemoryFacts, dump: MemoryDump) -> Decision:
    associated = seen.request is not None and seen.request.claim == dump.claim_name
    if not associated and not seen.attached:
        return _moves(run, dump, "Snapshotting")
    if not associated or (seen.request and seen.request.phase == "Dissociating"):
        return run.waits(_PHASE, "waits for KubeVirt to detach the memory dump")
    remove = RemoveMemoryDump(namespace=run.namespace, vm=run.backup.spec.vm.name, claim=dump.claim_name)
    message = "has KubeVirt detach the memory dump"
    return run.goes_on(_PHASE, message, remove, again=run.rules.poll_seconds)


def _snapshot(run: Run, seen: MemoryFacts, dump: MemoryDump, captured: CaptureFacts) -> Decision:
    if seen.snapshot is not None and seen.snapshot.bound:
        return _moves(run, dump, "Captured", end_time=run.now)
    if seen.snapshot is not None:
        return run.waits(_PHASE, f"waits for the snapshot of the memory dump: {_waiting_for(seen)}")
    first = _first_disk(captured)
    step = SnapshotDumpClaim(
        namespace=run.namespace,
        name=dump.claim_name,
        claim=dump.claim_name,
        snapshot_class=first.content.class_name if first and first.content else None,
        labels=run.labels,
    )
    return run.goes_on(_PHASE, "snapshots the memory dump", step, again=run.rules.poll_seconds)


def _moves(run: Run, dump: MemoryDump, phase: MemoryDumpPhase, **changes: object) -> Decision:
    moved = dump.model_copy(update={"phase": phase, **changes})
    return run.goes_on(_PHASE, "dumps the guest's memory", memory_dump=moved)


def _first_disk(captured: CaptureFacts) -> CapturedVolume | None:
    """The first in the VM's own order: the dump is kept on storage of the same class."""
    order = list(captured.disks)
    known = [volume for volume in captured.volumes if volume.name in captured.disks]
    return min(known, key=lambda volume: order.index(volume.name), default=None)


def _waiting_for(seen: MemoryFacts) -> str:
    if seen.snapshot is not None:
        return seen.snapshot.error or "the CSI driver says nothing"
    if seen.request is not None:
        return f"KubeVirt is at {seen.request.phase} {seen.request.message}".rstrip()
    return f"VirtualMachineSnapshot {seen.locked_by} holds the VM" if seen.locked_by else "KubeVirt says nothing"


def _failed(message: str) -> Refusal:
    return Refusal(Reason.MEMORY_DUMP_FAILED, message)
