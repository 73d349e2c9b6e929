"""The rules that `retention` of a policy and of its tiers means."""

from datetime import timedelta

from safehold.api.durations import parse_duration
from safehold.api.policy import BackupPolicySpec
from safehold.api.retention import Retention
from safehold.plan.policy.schedule import time_zone
from safehold.retention.rules import RetentionRules

DELETED_VM_GRACE = timedelta(days=30)
SHARED = ""
"""Stands for the tiers that have no `retention` of their own, and for points of no tier."""


def rules_by_tier(spec: BackupPolicySpec) -> dict[str, RetentionRules]:
    """By their names the rules of the tiers that have their own, and by SHARED those of all other points, if any.

    A SpecError where there is no such time zone.
    """
    written = {SHARED: spec.retention, **{tier.name: tier.retention for tier in spec.schedules or []}}
    return {tier: rules_of(retention, spec.time_zone) for tier, retention in written.items() if retention is not None}


def rules_of(retention: Retention, zone: str) -> RetentionRules:
    """The rules, with periods that begin in the policy's time zone; a SpecError where there is no such zone."""
    return RetentionRules(
        keep_last=retention.keep_last or 0,
        keep_within=parse_duration(retention.keep_within) if retention.keep_within else None,
        keep_hourly=retention.keep_hourly or 0,
        keep_daily=retention.keep_daily or 0,
        keep_weekly=retention.keep_weekly or 0,
        keep_monthly=retention.keep_monthly or 0,
        keep_yearly=retention.keep_yearly or 0,
        minimum_age=parse_duration(retention.minimum_age) if retention.minimum_age else timedelta(),
        after_vm_deleted=retention.after_vm_deleted,
        deleted_vm_grace=(
            parse_duration(retention.deleted_vm_grace) if retention.deleted_vm_grace else DELETED_VM_GRACE
        ),
        zone=time_zone(zone),
    )
