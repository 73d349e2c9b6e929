"""What a verified answer about changed blocks means for the volume's status, its trust, and the condition."""

from collections.abc import Iterable

from safehold.api.base import Condition
from safehold.api.vmbackup import VolumeBackup
from safehold.plan.backup.engines import EngineChoice, verification_of
from safehold.plan.backup.run import Run
from safehold.plan.conditions import set_condition
from safehold.reasons import Reason
from safehold.report import VolumeReport

CHANGED_BLOCKS_TRUSTED = "ChangedBlocksTrusted"


def with_known(run: Run, volume: VolumeBackup, choice: EngineChoice) -> VolumeBackup:
    """The volume with what earlier runs found out; a volume that is asked about for the first time begins its term."""
    if not choice.asked:
        return volume
    known = verification_of(run, volume.claim_uid)
    since = known.verified or run.status.capture_time
    return volume.model_copy(update={"verified_time": since, "distrusted": known.distrusted})


def with_verdict(run: Run, volume: VolumeBackup, report: VolumeReport) -> VolumeBackup:
    """The volume with what this run's comparison said; unchanged if it made none."""
    if not report.verified:
        return volume
    lied = report.mismatched_bytes > 0
    verified = volume.verified_time if lied else run.status.capture_time
    update = {"mismatched_bytes": report.mismatched_bytes, "distrusted": lied, "verified_time": verified}
    return volume.model_copy(update=update)


def lies(volumes: Iterable[VolumeBackup]) -> list[VolumeBackup]:
    """Volumes about which this run was told something wrong."""
    return [volume for volume in volumes if volume.mismatched_bytes]


def describe_lies(volumes: Iterable[VolumeBackup]) -> str:
    """One sentence for people."""
    told = "; ".join(f"volume {v.name}: {v.mismatched_bytes} bytes had changed unsaid" for v in lies(volumes))
    return (
        f"the answer about changed blocks was wrong ({told}). This restore point has what a scan found; earlier ones "
        "since the last verification may lack changes: verify or restore them before you rely on them, and tell the "
        "storage's maker. The volume is scanned until an answer is right again"
    )


def with_trust(run: Run, conditions: list[Condition], volumes: list[VolumeBackup]) -> list[Condition]:
    """The conditions with ChangedBlocksTrusted, where this run compared anything."""
    if all(volume.mismatched_bytes is None for volume in volumes):
        return conditions
    wrong = lies(volumes)
    told = Condition(
        type=CHANGED_BLOCKS_TRUSTED,
        status="False" if wrong else "True",
        observed_generation=run.backup.metadata.generation,
        last_transition_time=run.now,
        reason=(Reason.CHANGED_BLOCKS_LIED if wrong else Reason.CHANGED_BLOCKS_CONFIRMED).value,
        message=describe_lies(volumes) if wrong else "a scan of the whole volume found what the engine had said",
    )
    return set_condition(conditions, told)
