"""What policies say about retention, as a maintenance is told it, and what it answers, as policies show it."""

from collections.abc import Collection, Iterable
from dataclasses import fields
from datetime import datetime
from itertools import islice
from typing import Any

from safehold.api.policy import BackupPolicy, BackupPolicySpec, ClusterBackupPolicy
from safehold.api.retention import NextDeletion, RetentionPreview
from safehold.errors import SpecError
from safehold.plan.policy.facts import policy_name
from safehold.plan.retention.rules import SHARED, rules_by_tier
from safehold.plan.retention.runs import coming_runs
from safehold.report import RetentionLine
from safehold.retention.rules import RetentionRules
from safehold.run import PolicyRules

FORESEEN_RUNS = 16
"""How many runs ahead deletions are looked for: where retention is full, the next run makes a point superfluous."""


def governing_rules(policy: BackupPolicy | ClusterBackupPolicy, namespace_uid: str, now: datetime) -> list[PolicyRules]:
    """The rules of the policy and of its tiers for a worker; none where none are written, or none can be understood.

    Then its points stay. `namespace_uid` is that of a BackupPolicy's namespace.
    """
    spec = policy.spec
    try:
        rules = rules_by_tier(spec)
        runs = {tier: _coming(spec, now, rules.keys(), tier) for tier in rules}
    except SpecError:
        return []
    common = {
        "policy": policy.metadata.uid,
        "name": policy_name(policy.kind, policy.metadata.name),
        "namespace_uid": namespace_uid,
        "time_zone": spec.time_zone,
    }
    return [PolicyRules(**common, tier=tier, runs=runs[tier], **_written(found)) for tier, found in rules.items()]


def _coming(spec: BackupPolicySpec, now: datetime, with_rules: Collection[str], tier: str) -> list[datetime]:
    """The next runs whose points the rules of this tier decide about."""
    runs = coming_runs(spec, now, lambda name: name == tier or (tier == SHARED and name not in with_rules))
    return [] if spec.suspend else [at for at, _ in islice(runs, FORESEEN_RUNS)]


def _written(rules: RetentionRules) -> dict[str, Any]:
    return {field.name: getattr(rules, field.name) for field in fields(rules) if field.name != "zone"}


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
        tier=line.tier or None,
        capture_time=line.captured,
        deletion_time=line.at,
        reason=line.reason,
    )
