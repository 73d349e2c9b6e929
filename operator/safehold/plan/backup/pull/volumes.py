"""The disks that KubeVirt serves, told as a snapshot's are, so that the same rules judge them."""

from dataclasses import replace

from safehold.plan.backup.capture_facts import CapturedVolume, CaptureFacts
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.backup.pull.facts import PullBackupFacts, PullFacts


def served_capture(machine: MachineFacts, facts: PullFacts, backup: PullBackupFacts) -> CaptureFacts:
    """The capture. It does not matter where the claims can be reached, since nothing is mounted."""
    volumes = [
        CapturedVolume(
            name=name,
            claim_name=claim.name,
            claim_uid=claim.uid,
            snapshot_name="",
            claim=replace(claim, node_affinity=None),
            snapshot=None,
            content=None,
        )
        for name, claim in sorted(facts.claims.items())
        if name in backup.disks and name in backup.served
    ]
    return CaptureFacts(
        uid=backup.uid,
        vm_uid=machine.uid,
        disks={volume.name: volume.claim_name for volume in volumes},
        cut_time=backup.taken_at or backup.created,
        volumes=tuple(volumes),
    )
