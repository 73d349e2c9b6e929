"""Whether a run has its guest between freeze and thaw: what a target's `maxFrozenVMs` counts."""

from typing import Literal

from safehold.api.vmbackup import VMBackup
from safehold.plan.backup.facts import BackupFacts, MachineFacts
from safehold.plan.backup.pull.choice import pulls
from safehold.plan.backup.stages import stage_of

FreezeClaim = Literal["None", "Wanted", "Held"]


def freeze_claim(backup: VMBackup, facts: BackupFacts) -> FreezeClaim:
    """Wanted: the next step may freeze. Held: KubeVirt may have the guest frozen; told from the cluster alone."""
    machine, stage = facts.machine, stage_of(backup)
    # KubeVirt's own backup holds the guest for the moment in which it starts, and asks nobody.
    if machine is None or stage not in ("Capturing", "Ending") or pulls(backup):
        return "None"
    if machine.frozen:
        return "Held"
    if stage == "Ending" or backup.status.fallback is not None or not machine.running:
        return "None"
    if facts.snapshot is None:
        return "None" if obstacle(machine) else "Wanted"
    return "None" if facts.snapshot.succeeded or facts.snapshot.failure is not None else "Held"


def obstacle(machine: MachineFacts) -> str | None:
    """What would use up KubeVirt's time for the snapshot, which counts from its creation."""
    if machine.snapshot_in_progress:
        return f"VirtualMachineSnapshot {machine.snapshot_in_progress} of the VM, which is in progress"
    if machine.migrating:
        return "the VM's live migration: KubeVirt freezes no guest meanwhile"
    return None
