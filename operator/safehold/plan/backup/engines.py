"""Which engine a volume's changed blocks are asked of, why no better one, and when its answers are verified."""

from dataclasses import dataclass
from datetime import timedelta

from safehold.api.capture import SnapshotHandle
from safehold.api.changed_blocks import ChangedBlocks
from safehold.plan.backup.capture_facts import CapturedVolume, ClaimFacts
from safehold.plan.backup.changes_facts import BaseFacts, Verification
from safehold.plan.backup.group.holding import is_member
from safehold.plan.backup.pull.choice import pulls
from safehold.plan.backup.run import Run
from safehold.plan.names import pair_name
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason
from safehold.run import CsiChanges, token_path

_NEVER_LOOKED = Verification(verified=None, distrusted=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """How one volume is read. One of which nobody is asked is scanned, for `scan_reason`."""

    asked: bool = False
    """Whether an engine is asked what changed: the driver that `changes` name, or KubeVirt in a backup of its own."""
    changes: CsiChanges | None = None
    checkpoint: str | None = None
    """What the snapshot is called as a base: recorded in the point whichever engine ran."""
    scan_reason: str = "no changed-block information"
    may_scan: bool = True
    verify: bool = False


def choose_engine(run: Run, volume: CapturedVolume, claim: ClaimFacts) -> EngineChoice | Refusal:
    """The first engine of the spec that fits the volume; a refusal that names every obstacle if none does."""
    wanted = run.backup.spec.changed_blocks
    if pulls(run.backup):
        return EngineChoice(asked=True, may_scan="Scan" in wanted.engines, verify=is_verification_due(run, claim.uid))
    obstacles: list[str] = []
    for engine in wanted.engines:
        if engine == "Scan":
            return EngineChoice(scan_reason="; ".join(obstacles) or "changedBlocks.engines prefers a scan")
        obstacle = _csi_obstacle(run, claim) if engine == "CSI" else _pull_obstacle(run)
        if obstacle is None:
            return _csi(run, volume, claim)
        obstacles.append(obstacle)
    message = f"volume {volume.name} fits no engine of changedBlocks.engines: {'; '.join(obstacles)}. Add Scan to them"
    return Refusal(Reason.ENGINE_NOT_AVAILABLE, message[:1024])


def verification_of(run: Run, claim_uid: str) -> Verification:
    """What is known about a volume's answers so far."""
    return run.facts.changes.verifications.get(claim_uid, _NEVER_LOOKED)


def is_verification_due(run: Run, claim_uid: str) -> bool:
    """Whether this run also scans, to compare. A distrusted volume is scanned until its answers are right."""
    known, interval = verification_of(run, claim_uid), run.backup.spec.changed_blocks.verification_interval
    if interval is None:
        return False
    return known.distrusted or (known.verified is not None and run.now - known.verified >= interval)


def base_of(run: Run, claim: ClaimFacts) -> BaseFacts | None:
    """The newest base of a claim that is not about to go."""
    usable = [
        base
        for base in run.facts.changes.bases
        if base.claim_uid == claim.uid
        and base.driver == claim.driver
        and base.has_snapshot
        and not base.deleting
        and run.since(base.created) < run.rules.base_max_age
    ]
    return max(usable, key=lambda base: base.created, default=None)


def _pull_obstacle(run: Run) -> str:
    """Why a snapshot was taken although KubeVirt's own backup was named."""
    pull = run.status.pull
    return pull.refusal if pull and pull.refusal else "KubeVirt: it must be named first to be used"


def _csi_obstacle(run: Run, claim: ClaimFacts) -> str | None:
    if claim.mode != "Block":
        return "CSI tells changed blocks of Block volumes only, and this is a Filesystem volume"
    if claim.driver not in run.facts.changes.services:
        return f"CSI driver {claim.driver} offers no SnapshotMetadataService"
    if verification_of(run, claim.uid).distrusted and _never_verifies(run.backup.spec.changed_blocks):
        return "the CSI driver's last verified answer was wrong, and verifyEvery is 0"
    return None


def _never_verifies(wanted: ChangedBlocks) -> bool:
    return wanted.verification_interval is None


def _csi(run: Run, volume: CapturedVolume, claim: ClaimFacts) -> EngineChoice:
    service, base = run.facts.changes.services[claim.driver], base_of(run, claim)
    changes = CsiChanges(
        address=service.address,
        ca=service.authority,
        token_path=token_path(claim.driver),
        namespace=run.rules.operator_namespace,
        snapshot=pair_name(run.uid, volume.name),
        driver=claim.driver,
        base=base.handle if base else None,
    )
    return EngineChoice(
        asked=True,
        changes=changes,
        checkpoint=next(handle.snapshot_handle for handle in run.status.handles if handle.volume == volume.name),
        may_scan="Scan" in run.backup.spec.changed_blocks.engines,
        verify=is_verification_due(run, claim.uid),
    )


def keeps_base(run: Run, choice: EngineChoice, handle: SnapshotHandle) -> bool:
    """Whether the run's own pair stays for the next one.

    Not where the class says Retain: then the physical snapshot is not ours to delete in the end. Nor a member of a
    group, which only the group's end deletes.
    """
    if is_member(run, handle.volume) or handle.original_deletion_policy != "Delete":
        return False
    return choice.changes is not None and run.rules.base_max_age > timedelta()
