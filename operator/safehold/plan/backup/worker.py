"""The worker: start it on our claims, follow it, and believe its report as far as it was asked."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from safehold.api.base import Progress
from safehold.api.capture import MemoryDump
from safehold.api.vmbackup import VolumeBackup
from safehold.plan.backup.capture_facts import CapturedVolume, CaptureFacts, ClaimFacts
from safehold.plan.backup.engines import EngineChoice, choose_engine, keeps_base
from safehold.plan.backup.group.holding import is_member
from safehold.plan.backup.memory_facts import MEMORY_VOLUME
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import AdoptSecret, StartBackup
from safehold.plan.backup.verification import with_known, with_trust, with_verdict
from safehold.plan.backup.volumes import role_of
from safehold.plan.job import JobFacts, read_report, refuse_lost_node
from safehold.plan.machine_state import STATE_VOLUME
from safehold.plan.names import job_name, machine_secret_name
from safehold.plan.placement import common_nodes
from safehold.plan.policy.facts import TIER, policy_name_of, policy_of
from safehold.plan.refusal import Refusal
from safehold.plan.summary import measure_progress, readable_bytes, total_counts
from safehold.plan.target.use import TargetFacts, refuse_repository, refuse_writing
from safehold.plan.tenancy import owner_of
from safehold.reasons import Reason
from safehold.report import Engine, RunReport, VolumeReport
from safehold.run import BackupRun, Capture, VolumeSource, VolumeToBackUp, disk_path, file_path, folder_path

_MEMBER_IS_NO_BASE = "its snapshot is a member of a group, which cannot be kept as a base"
PROGRESS_SECONDS = 5.0
"""How often a running worker's log is looked at."""


def start_worker(run: Run, captured: CaptureFacts) -> Decision:
    """Start the worker, with the target as it is now."""
    target, recorded = run.facts.target, run.status.target
    refusal = target if isinstance(target, Refusal) else run.facts.secrets
    if refusal is None and isinstance(target, TargetFacts):
        refusal = refuse_writing(target) or refuse_repository(target, recorded.repository_id if recorded else None)
    if refusal is not None and refusal.reason is Reason.TARGET_NOT_READY:
        return run.waits("Preparing", refusal.message)
    if refusal is not None:
        return run.fails(refusal)
    assert not isinstance(target, Refusal)
    if lost := _refuse_lost_claims(run, captured):
        return run.fails(lost)
    # A claim made from a snapshot lies, as a rule, where the snapshot's source lies: on a node, in a zone.
    nodes = common_nodes({volume.name: volume.claim.node_affinity for volume in captured.volumes if volume.claim})
    if isinstance(nodes, Refusal):
        return run.fails(nodes)
    choices = _engines(run, captured)
    if isinstance(choices, Refusal):
        return run.fails(choices)
    name = job_name("backup", run.backup.metadata.name, run.uid)
    start = StartBackup(
        job=name,
        machine_secret=machine_secret_name(run.backup.metadata.name, run.uid),
        run=_worker_run(run, captured, choices, target),
        claims={handle.volume: handle.claim_name for handle in run.status.handles},
        node_affinity=nodes,
        audiences=_audiences(run, choices.values()),
        target=target,
        labels=run.labels,
    )
    return run.goes_on("Transferring", "starts the worker", start, job_name=name, **_recorded(run, choices))


def _refuse_lost_claims(run: Run, captured: CaptureFacts) -> Refusal | None:
    """The claims that were cut must still be there: of their volumes the point says what it is made of.

    The VM may have been deleted, and its disks with it, or others made under their names.
    """
    claims = {volume.name: volume.claim for volume in captured.volumes}
    for recorded in run.status.volumes:
        claim = claims.get(recorded.name)
        if recorded.role != "MemoryDump" and (claim is None or claim.uid != recorded.claim_uid):
            what = "deleted" if claim is None else "replaced by another one"
            message = (
                f"PersistentVolumeClaim {recorded.claim_name} of volume {recorded.name} was {what} while it was being "
                "prepared for the worker; nothing was backed up"
            )
            return Refusal(Reason.SNAPSHOT_FAILED, message)
    return None


def _engines(run: Run, captured: CaptureFacts) -> dict[str, EngineChoice] | Refusal:
    """By volume. Memory and state are files that are always read whole."""
    choices: dict[str, EngineChoice] = {}
    for volume in captured.volumes:
        if volume.claim is None or volume.name in (MEMORY_VOLUME, STATE_VOLUME):
            continue
        choice = choose_engine(run, volume, volume.claim)
        if isinstance(choice, Refusal):
            return choice
        choices[volume.name] = choice
    return choices


def _audiences(run: Run, choices: Iterable[EngineChoice]) -> dict[str, str]:
    drivers = {choice.changes.driver for choice in choices if choice.changes}
    return {driver: run.facts.changes.services[driver].audience for driver in sorted(drivers)}


def _recorded(run: Run, choices: Mapping[str, EngineChoice]) -> dict[str, Any]:
    """What must be known about bases and trust when the worker has ended, and after a restart of the controller."""
    handles = [
        handle.model_copy(
            update={"kept_as_base": handle.volume in choices and keeps_base(run, choices[handle.volume], handle)}
        )
        for handle in run.status.handles
    ]
    volumes = [
        with_known(run, volume, choices[volume.name]) if volume.name in choices else volume
        for volume in run.status.volumes
    ]
    return {"handles": handles, "volumes": volumes}


def _worker_run(
    run: Run, captured: CaptureFacts, choices: Mapping[str, EngineChoice], target: TargetFacts
) -> BackupRun:
    status = run.status
    assert status.consistency is not None
    assert status.capture_time is not None
    return BackupRun(
        run_id=run.uid,
        policy=policy_of(run.backup),
        policy_name=policy_name_of(run.backup),
        tier=run.backup.metadata.labels.get(TIER, ""),
        owner=owner_of(run.backup),
        repository=target.place,
        key_domain=target.key_domain(status.namespace_uid or ""),
        capture=Capture(
            time=status.capture_time,
            consistency=status.consistency.reached,
            indications=status.consistency.indications,
            frozen_millis=status.consistency.frozen_millis,
            frozen_observation=status.consistency.frozen_observation,
            snapshot_uid="" if status.fallback else status.snapshot_uid or "",
            excluded=[volume.name for volume in status.excluded_volumes],
        ),
        volumes=[
            _worker_volume(run, volume, volume.claim, choices.get(volume.name, EngineChoice()))
            for volume in captured.volumes
            if volume.claim
        ],
        machine=[],
    )


def _worker_volume(run: Run, volume: CapturedVolume, claim: ClaimFacts, choice: EngineChoice) -> VolumeToBackUp:
    return VolumeToBackUp(
        name=volume.name,
        path=_path(run, volume.name, claim),
        mode=claim.mode,
        role=role_of(volume.name),
        source=VolumeSource(
            pvc_uid=claim.uid,
            volume_handle=claim.volume_handle,
            driver=claim.driver,
            capacity_bytes=claim.capacity_bytes,
            last_restore_uid=claim.annotations.get("restore.kubevirt.io/lastRestoreUID", ""),
        ),
        claim={
            "name": claim.name,
            "labels": dict(claim.labels),
            "annotations": dict(claim.annotations),
            "storageClassName": claim.storage_class,
            "accessModes": list(claim.access_modes),
            "capacity": claim.capacity_bytes,
        },
        checkpoint=choice.checkpoint,
        changes=choice.changes,
        scan_reason=choice.scan_reason,
        may_scan=choice.may_scan,
        verify=choice.verify,
    )


def _path(run: Run, volume: str, claim: ClaimFacts) -> str:
    match role_of(volume):
        case "MemoryDump":
            return file_path(volume, (run.status.memory_dump and run.status.memory_dump.file_name) or "")
        case "State":
            return folder_path(volume)
        case _:
            return disk_path(volume, claim.mode)


def follow_worker(run: Run, job: JobFacts) -> Decision:
    """Wait for the worker's report, and show how far it is."""
    if job.outcome is not None:
        return _finish(run, job)
    if refusal := refuse_lost_node(job.pods, run.now):
        return run.fails(refusal)
    if not job.secret_owned:
        adopt = AdoptSecret(job=job.name, job_uid=job.uid)
        return run.goes_on("Transferring", "starts the worker", adopt, job_name=job.name)
    if job.queue:
        # Its snapshot waits with it for as long as the cluster's administrators let it.
        return run.waits("Transferring", f"waits for Kueue's queue {job.queue} to admit the worker", job_name=job.name)
    if job.progress is not None:
        told = job.progress
        progress = measure_progress(told.bytes_done, told.bytes_total, seconds=told.seconds)
        message = _progress_message(progress)
        return run.goes_on("Transferring", message, again=PROGRESS_SECONDS, progress=progress, job_name=job.name)
    if run.status.progress is not None:
        # Of a worker that has begun, one look at its log may find nothing: what was known last stays.
        return run.goes_on("Transferring", _progress_message(run.status.progress), again=PROGRESS_SECONDS)
    unbound = [hold for hold in run.facts.holds if hold.clone is not None and not hold.clone.bound]
    waiting = job.waiting_for or ("" if not unbound else problems(run))
    if waiting and run.is_late:
        return run.fails(Refusal(Reason.TIMED_OUT, f"the worker did not start in time: {waiting}"))
    return run.waits("Transferring", f"waits for the worker: {waiting}".rstrip(": "), job_name=job.name)


def _progress_message(progress: Progress) -> str:
    return f"the worker is at {progress.percent}% of {readable_bytes(progress.bytes_total)}"


def _finish(run: Run, job: JobFacts) -> Decision:
    disks = [volume.name for volume in run.status.volumes if volume.role != "MemoryDump"]
    dumps = [volume.name for volume in run.status.volumes if volume.role == "MemoryDump"]
    report = read_report(job, run_id=run.uid, verb="backup", volumes=disks, optional=dumps)
    if isinstance(report, Refusal):
        return run.fails(report)
    if not report.restore_point:
        return run.fails(Refusal(Reason.REPORT_REJECTED, f"the report of Job {job.name} names no restore point"))
    volumes = _reported(run, report)
    totals = total_counts(volumes)
    size = totals.bytes_total or 0
    finished = run.goes_on(
        "CleaningUp",
        "the restore point is complete; removes snapshots and volumes of the run",
        restore_point=report.restore_point,
        parent=report.parent,
        engine=volumes[0].engine if volumes else None,
        memory_dump=_stored_dump(run, report),
        volumes=volumes,
        progress=measure_progress(size, size, seconds=None),
        **totals.model_dump(by_alias=False),
    )
    conditions = with_trust(run, finished.status.conditions, volumes)
    return replace(finished, status=finished.status.model_copy(update={"conditions": conditions}))


def _stored_dump(run: Run, report: RunReport) -> MemoryDump | None:
    """A worker that cannot read the dump's file stores the disks without it."""
    dump = run.status.memory_dump
    if dump is None or dump.phase != "Captured":
        return dump
    if any(volume.name == MEMORY_VOLUME for volume in report.volumes):
        return dump.model_copy(update={"phase": "Stored"})
    message = f"the worker found no file {dump.file_name} that it could read in the snapshot of the dump"
    return dump.model_copy(update={"phase": "Failed", "reason": Reason.MEMORY_DUMP_FAILED.value, "message": message})


def _reported(run: Run, report: RunReport) -> list[VolumeBackup]:
    """The volumes with what the worker says about each."""
    reports = {volume.name: volume for volume in report.volumes}
    return [
        with_verdict(run, volume, found).model_copy(
            update={
                "engine": found.engine.value,
                "engine_reason": _engine_reason(run, found) or None,
                "seconds": round(found.seconds, 3),
                **found.model_dump(include={field for field in type(found).model_fields if field.startswith("bytes_")}),
            }
        )
        for volume in run.status.volumes
        if (found := reports.get(volume.name))
    ]


def _engine_reason(run: Run, report: VolumeReport) -> str:
    """The worker's words, and why the next run will find no base of this volume, where one could have been kept."""
    said = report.engine_reason
    if report.engine is Engine.CSI and is_member(run, report.name):
        said = "; ".join(part for part in (said, _MEMBER_IS_NO_BASE) if part)
    return said[:1024]


def problems(run: Run) -> str:
    """What the CSI driver says about each volume."""
    found = []
    for hold in run.facts.holds:
        snapshot, content = hold.snapshot, hold.content
        problem = (hold.clone.problem if hold.clone else "") or (snapshot.error if snapshot else "")
        found.append(f"{hold.volume}: {problem or (content.error if content else '') or 'not ready yet'}")
    return "; ".join(found)
