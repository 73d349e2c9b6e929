"""What policies say about retention, as a maintenance is told it, and what it answers, as policies show it."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from safehold.api.policy import BackupPolicy, ClusterBackupPolicy
from safehold.api.retention import NextDeletion, RetentionPreview
from safehold.errors import SpecError
from safehold.plan.retention.rules import rules_of
from safehold.plan.retention.runs import coming_runs
from safehold.run import PolicyRules, RetentionLine

FORESEEN_RUNS = 16
"""How many runs ahead deletions are looked for: where retention is full, the next run makes a point superfluous."""


def governing_rules(policy: BackupPolicy | ClusterBackupPolicy, now: datetime) -> PolicyRules | None:
    """The policy's rules for a worker; None where it has none, or none that can be understood: its points stay."""
    spec = policy.spec
    if spec.retention is None:
        return None
    try:
        rules = rules_of(spec.retention, spec.time_zone)
        coming = coming_runs(spec, now)
    except SpecError:
        return None
    return PolicyRules(
        policy=policy.metadata.uid,
        time_zone=spec.time_zone,
        keep_last=rules.keep_last,
        keep_within=rules.keep_within,
        keep_hourly=rules.keep_hourly,
        keep_daily=rules.keep_daily,
        keep_weekly=rules.keep_weekly,
        keep_monthly=rules.keep_monthly,
        keep_yearly=rules.keep_yearly,
        minimum_age=rules.minimum_age,
        after_vm_deleted=rules.after_vm_deleted,
        deleted_vm_grace=rules.deleted_vm_grace,
        runs=[] if spec.suspend else list(islice(coming, FORESEEN_RUNS)),
    )


def preview(policy_uid: str, lines: Iterable[RetentionLine], now: datetime) -> RetentionPreview:
    """What a policy's status says after a maintenance whose log had these lines."""
    own = [line for line in lines if line.policy == policy_uid]
    upcoming = sorted((line for line in own if not line.forgotten), key=lambda line: (line.at, line.captured))
    return RetentionPreview(
        time=now,
        forgotten_points=sum(line.forgotten for line in own),
        next=[_deletion(line) for line in upcoming[:10]],
    )


def _deletion(line: RetentionLine) -> NextDeletion:
    return NextDeletion(
        vm=f"{line.namespace}/{line.vm}"[:317],
        restore_point=line.restore_point,
        capture_time=line.captured,
        deletion_time=line.at,
        reason=line.reason,
    )
