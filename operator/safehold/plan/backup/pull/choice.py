"""Whether a VM's disks can be pulled from KubeVirt's own backup, and what takes its place where they cannot."""

from safehold.api.capture import PullCapture
from safehold.api.vmbackup import VMBackup, VMBackupSpec, VMBackupStatus
from safehold.plan.backup.facts import BackupFacts
from safehold.plan.backup.pull.facts import PullFacts
from safehold.plan.names import pull_name, tracker_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

ENGINE = "KubeVirt"
_TRACKED = "Enabled"
_UNTRACKED = {
    "": "its changed blocks are not tracked: give it the label that KubeVirt selects for it, and restart it",
    "PendingRestart": "its changed blocks are tracked only after its next restart",
    "Initializing": "KubeVirt is still preparing to track its changed blocks",
    "Disabled": "its changed blocks are not tracked any more",
    "IncrementalBackupFeatureGateDisabled": "KubeVirt's feature gate IncrementalBackup is off",
}


def wants_pull(spec: VMBackupSpec) -> bool:
    """Whether KubeVirt's own backup is to be tried: only where it is named, and it can only be named first."""
    return spec.changed_blocks.engines[0] == ENGINE


def pulls(backup: VMBackup) -> bool:
    """Whether the run's capture is KubeVirt's own backup."""
    return backup.status.pull is not None and backup.status.pull.refusal is None


def first_choice(backup: VMBackup, facts: BackupFacts, repository_id: str | None) -> PullCapture | None:
    """How the run begins: with the names of what it will make, or with the reason why it takes a snapshot after all."""
    if not wants_pull(backup.spec) or facts.machine is None:
        return None
    if why := refuse_pull(backup.spec, facts):
        return PullCapture(refusal=f"{ENGINE}: {why}")
    return PullCapture(
        name=pull_name(backup.metadata.name, backup.metadata.uid),
        tracker=tracker_name(facts.machine.name, facts.machine.uid, repository_id or ""),
    )


def refuse_pull(spec: VMBackupSpec, facts: BackupFacts) -> str | None:
    """Why KubeVirt cannot back the VM up as the spec says, as a part of a sentence; None if it can."""
    if spec.memory_dump:
        return "a memory dump is asked for, which is taken with a snapshot"
    if facts.machine is not None and facts.machine.own_state:
        return f"the VM has persistent {' and '.join(facts.machine.own_state)} state, which only a snapshot holds"
    pull = facts.pull or PullFacts(enabled=False)
    if not pull.enabled:
        return "this installation has it not enabled (chart value engines.kubevirt)"
    if not pull.served:
        return "KubeVirt does not serve VirtualMachineBackup"
    if pull.instance is None or not pull.instance.running:
        return "the VM does not run"
    if pull.instance.tracking != _TRACKED:
        return _UNTRACKED.get(pull.instance.tracking, f"its changed block tracking is {pull.instance.tracking}")
    if pull.unreadable_claims:
        return f"volume {', '.join(pull.unreadable_claims)} is on no claim of a CSI driver"
    return None


def without_pull(status: VMBackupStatus, spec: VMBackupSpec, why: str, snapshot: str) -> VMBackupStatus | Refusal:
    """The status once a snapshot takes the place of KubeVirt's backup; a refusal where no other engine is allowed."""
    if refusal := refuse_alone(spec, why):
        return refusal
    pull = (status.pull or PullCapture()).model_copy(update={"refusal": f"{ENGINE}: {why}"})
    return status.model_copy(update={"pull": pull, "snapshot_name": snapshot})


def refuse_alone(spec: VMBackupSpec, why: str) -> Refusal | None:
    """The refusal of a run that may use no other engine."""
    if spec.changed_blocks.engines != [ENGINE]:
        return None
    message = f"changedBlocks.engines names only {ENGINE}, which cannot be used: {why}; name another engine behind it"
    return Refusal(Reason.ENGINE_NOT_AVAILABLE, message)
