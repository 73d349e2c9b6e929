"""From KubeVirt's served disks to a worker that pulls them."""

from dataclasses import replace

from safehold.api.capture import PullCapture
from safehold.plan.backup.pull.facts import PullBackupFacts
from safehold.plan.backup.pull.volumes import served_capture
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import PullToken, StartBackup
from safehold.plan.backup.worker import follow_worker, start_worker
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.run import PULL_TOKEN_FILE, BackupRun, KubeVirtChanges, VolumeToBackUp


def prepare_pull(run: Run) -> Decision:
    """Everything between the judged backup of KubeVirt's and the worker's report."""
    if run.facts.job is not None:
        return follow_worker(run, run.facts.job)
    facts, machine, pull = run.facts.pull, run.facts.machine, run.status.pull or PullCapture()
    backup = facts.backup if facts else None
    if facts is None or machine is None or backup is None or backup.uid != pull.uid or not backup.readable:
        said = backup.message if backup else "somebody deleted it"
        message = f"KubeVirt's backup ended before the worker started: {said}; back the VM up again"
        return run.fails(Refusal(Reason.SNAPSHOT_FAILED, message))
    decision = start_worker(run, served_capture(machine, facts, backup))
    steps = tuple(
        _pulling(step, pull, backup, run.namespace) if isinstance(step, StartBackup) else step
        for step in decision.steps
    )
    return replace(decision, steps=steps)


def _pulling(start: StartBackup, pull: PullCapture, backup: PullBackupFacts, namespace: str) -> StartBackup:
    run: BackupRun = start.run.model_copy(
        update={
            "volumes": [_pulled(volume, pull, backup) for volume in start.run.volumes],
            "capture": start.run.capture.model_copy(update={"snapshot_uid": backup.uid}),
        }
    )
    return replace(start, run=run, claims={}, pull_token=PullToken(namespace=namespace, secret=backup.name))


def _pulled(volume: VolumeToBackUp, pull: PullCapture, backup: PullBackupFacts) -> VolumeToBackUp:
    served = backup.served[volume.name]
    changes = KubeVirtChanges(
        map_url=served.map_url,
        data_url=served.data_url,
        ca=backup.ca,
        token_file=PULL_TOKEN_FILE,
        base=pull.base,
    )
    return volume.model_copy(update={"path": None, "changes": changes, "checkpoint": pull.checkpoint})
