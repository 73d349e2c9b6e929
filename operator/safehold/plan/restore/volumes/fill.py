"""Filling: claims in the operator's namespace, the worker that writes into them, and its report."""

from collections.abc import Mapping
from datetime import timedelta

from safehold.api.base import Progress
from safehold.api.restore_point import RestorePoint
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.job import JobFacts, read_report, refuse_lost_node
from safehold.plan.names import job_name
from safehold.plan.placement import common_nodes
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.machine.rebuild import read_machine
from safehold.plan.restore.progress import with_progress
from safehold.plan.restore.steps import AdoptSecret, CreateClaim, Record, StartRestoreJob
from safehold.plan.restore.volumes.handover import shape_of
from safehold.plan.storage import NewClaim
from safehold.plan.summary import measure_progress, readable_bytes
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason
from safehold.report import RunReport
from safehold.run import Owner, RestoreRun, VolumeToRestore, disk_path, folder_path

PHASE = "Filling"
START_PATIENCE = timedelta(minutes=45)
"""From the restore's beginning until its worker runs; the VM may need 15 minutes of it to stop."""


def fill(look: Look) -> Decision | None:
    """Until every volume is written and verified. Claims that wait for a consumer get the worker's node."""
    if look.all_are(Mark.VERIFIED, Mark.HANDING_OVER, Mark.DONE):
        return None
    for record in look.status.volumes:
        prime = look.volume(record).prime
        if prime is None and record.prime_uid is None:
            claim = _prime_claim(look, record)
            return look.goes_on(CreateClaim(claim), PHASE, "makes volumes to restore into")
        if prime is None or prime.deleting or record.prime_uid not in (None, prime.ref.uid):
            # What has its name now, the worker has not written to.
            message = f"somebody deleted claim {record.prime_claim}; restore again"
            return look.fails(Refusal(Reason.CLAIM_CONFLICT, message))
    nodes = _nodes(look)
    if isinstance(nodes, Refusal):
        return look.fails(nodes)
    if look.seen.job is None:
        return _start(look, nodes)
    return _follow(look, look.seen.job)


def _nodes(look: Look) -> Mapping[str, object] | Refusal | None:
    """Where the worker may run: volumes that wait for a consumer are made there, and the VM must reach them."""
    vm = look.seen.vm if look.in_place else None
    volumes = {record.name: look.volume(record).volume for record in look.status.volumes}
    return common_nodes(
        {
            "(the VM's own node selector)": vm.node_selector if vm else None,
            **look.seen.kept_volumes,
            **{name: volume.node_affinity for name, volume in volumes.items() if volume},
        }
    )


def _prime_claim(look: Look, record: VolumeRestore) -> NewClaim:
    return NewClaim(
        namespace=look.seen.operator_namespace,
        name=record.prime_claim,
        shape=shape_of(record),
        snapshot=record.source_snapshot,
        labels=look.labels,
    )


def _start(look: Look, nodes: Mapping[str, object] | None) -> Decision:
    target = look.seen.target
    if isinstance(target, Refusal):
        may_pass = target.reason is Reason.TARGET_NOT_READY and not _is_late(look)
        return look.waits(PHASE, target.message, reason=target.reason) if may_pass else look.fails(target)
    assert isinstance(target, TargetFacts)
    name = job_name("restore", look.restore.metadata.name, look.uid)
    step = StartRestoreJob(
        name=name,
        run=_worker_run(look, target),
        claims={record.name: record.prime_claim for record in look.status.volumes},
        target=target,
        labels=look.labels,
        node_affinity=nodes,
    )
    return look.goes_on(step, PHASE, "starts the worker", job_name=name, volumes=_with_prime_uids(look))


def _with_prime_uids(look: Look) -> list[VolumeRestore]:
    """The records with the claims that the worker gets: one of the same name that is made later is empty."""
    primes = [(record, look.volume(record).prime) for record in look.status.volumes]
    return [record.model_copy(update={"prime_uid": prime.ref.uid if prime else None}) for record, prime in primes]


def _is_late(look: Look) -> bool:
    return look.now - (look.status.start_time or look.now) > START_PATIENCE


def _worker_run(look: Look, target: TargetFacts) -> RestoreRun:
    volumes = [_worker_volume(record, vm=look.place.vm) for record in look.status.volumes]
    return restore_run(look.uid, look.point, target, volumes)


def restore_run(run_id: str, point: RestorePoint, target: TargetFacts, volumes: list[VolumeToRestore]) -> RestoreRun:
    """What a worker is asked to fill from a point."""
    return RestoreRun(
        run_id=run_id,
        repository=target.place,
        key_domain=point.key_domain or target.key_domain(point.vm.namespace_uid),
        restore_point=point.id,
        owner=Owner(
            cluster=point.vm.cluster_id,
            namespace_uid=point.vm.namespace_uid,
            vm_uid=point.vm.uid,
            namespace=point.vm.namespace,
            vm=point.vm.name,
        ),
        volumes=volumes,
    )


def _worker_volume(record: VolumeRestore, *, vm: str) -> VolumeToRestore:
    is_state = record.role == "State"
    return VolumeToRestore(
        name=record.name,
        path=folder_path(record.name) if is_state else disk_path(record.name, record.mode),
        mode=record.mode,
        role=record.role,
        size_bytes=record.capacity_bytes,
        vm=vm if is_state else None,
        delta=record.source_snapshot is not None,
    )


def _follow(look: Look, job: JobFacts) -> Decision:
    if job.outcome is not None:
        return _finish(look, job)
    if refusal := refuse_lost_node(job.pods, look.now):
        return look.fails(refusal)
    if not job.secret_owned:
        return look.goes_on(AdoptSecret(job.name, job.uid), PHASE, "starts the worker")
    if job.progress is None and look.status.progress is not None:
        # Of a worker that has begun, one look at its log may find nothing: what was known last stays.
        return look.waits(PHASE, _progress_message(look.status.progress), reason=Reason.RUNNING)
    if job.progress is None:
        pending = [
            record.prime_claim
            for record in look.status.volumes
            if (prime := look.volume(record).prime) is None or prime.phase != "Bound"
        ]
        waiting = job.waiting_for or (f"volumes for {', '.join(pending)} are being made" if pending else "")
        if waiting and _is_late(look):
            return look.fails(Refusal(Reason.TIMED_OUT, f"the worker did not start in time: {waiting}"))
        return look.waits(PHASE, f"waits for the worker: {waiting}".rstrip(": "))
    told = job.progress
    progress = measure_progress(told.bytes_done, told.bytes_total, seconds=told.seconds)
    records = with_progress(look.status.volumes, told)
    message = _progress_message(progress)
    return look.waits(PHASE, message, reason=Reason.RUNNING, progress=progress, volumes=records)


def _progress_message(progress: Progress) -> str:
    return f"the worker restored {progress.percent}% of {readable_bytes(progress.bytes_total)}"


def _finish(look: Look, job: JobFacts) -> Decision:
    names = [record.name for record in look.status.volumes]
    report = read_report(job, run_id=look.uid, verb="restore", volumes=names)
    if isinstance(report, Refusal):
        return look.fails(report)
    if not look.in_place and not look.volumes_only:
        machine = read_machine(look)
        if isinstance(machine, Refusal):
            return look.fails(machine)
    records: list[VolumeRestore] = []
    for record in look.status.volumes:
        verified = _verified(look, record, report)
        if verified is None:
            return look.waits(PHASE, f"claim {record.prime_claim} is not bound to a volume")
        records.append(verified)
    return look.goes_on(
        Record(),
        "HandingOver",
        "everything that was written was read back and is right",
        volumes=records,
        progress=None,
    )


def _verified(look: Look, record: VolumeRestore, report: RunReport) -> VolumeRestore | None:
    seen = look.volume(record)
    if seen.prime is None or seen.volume is None or seen.prime.volume != seen.volume.name:
        return None
    reported = next(volume for volume in report.volumes if volume.name == record.name)
    return record.model_copy(
        update={
            "persistent_volume": seen.volume.name,
            "reclaim_policy": seen.volume.reclaim_policy,
            "progress": None,
            "bytes_restored": reported.bytes_total,
            "seconds": reported.seconds,
            "bytes_fetched": reported.bytes_fetched,
            "step": Mark.VERIFIED,
        }
    )
