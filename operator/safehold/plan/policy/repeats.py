"""Backups that failed for a reason that may pass: each is tried again within its run, a few times, later and later.

State is in the VMBackups alone: every try is one of its own, with the labels of its run and the number of the try.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.api.durations import parse_duration
from safehold.api.timing import MAX_DELAYED, Retry, RetryingMachine
from safehold.plan.policy.breaker import chance
from safehold.plan.policy.facts import (
    AnyPolicy,
    PolicyBackup,
    PolicyFacts,
    SelectedVM,
    called,
    is_of,
    last_runs,
    run_time,
)
from safehold.plan.policy.timetable import Timetable
from safehold.reasons import Reason

TRANSIENT = frozenset(
    {
        Reason.API_REFUSED,
        Reason.ENDPOINT_UNREACHABLE,
        Reason.FORBIDDEN,
        Reason.INTERRUPTED,
        Reason.JOB_FAILED,
        Reason.NODE_LOST,
        Reason.RUN_EXPIRED,
        Reason.SNAPSHOT_FAILED,
        Reason.STORE_ERROR,
        Reason.TARGET_NOT_READY,
        Reason.TIMED_OUT,
        Reason.UNSCHEDULABLE,
        Reason.VOLUME_ERROR,
        Reason.WAITING,
    }
)
"""Reasons of failures that a later try may not meet. All others need somebody to change something first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """A further try of one VM in one run, at its moment or later."""

    vm: SelectedVM
    tier: str
    run: datetime
    attempt: int
    moment: datetime
    reason: str
    """Why the try before it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """The tries that begin now, and those that wait for their moment; the next one first."""

    begin: tuple[Repeat, ...]
    coming: tuple[Repeat, ...]


def further_tries(
    policy: AnyPolicy, facts: PolicyFacts, timetable: Timetable, now: datetime, *, barred: Collection[str]
) -> Tries:
    """What the last runs are owed, at most one try for each VM, and none while a backup of it is active.

    `barred` are uids of VMs whose next run begins now, in place of another try, or that the circuit breaker holds back.
    """
    active = {(backup.namespace, backup.vm) for backup in facts.backups if not backup.finished}
    idle = {(vm.namespace, vm.name): vm for vm in facts.vms if (vm.namespace, vm.name) not in active}
    found = [
        repeat
        for backup in _latest(policy, facts.backups)
        if (vm := idle.get((backup.namespace, backup.vm))) and vm.uid not in barred and is_of(backup, vm)
        if (repeat := _repeat(policy, timetable, vm, backup))
    ]
    first: dict[str, Repeat] = {}
    for repeat in sorted(found, key=lambda repeat: (repeat.moment, repeat.vm.uid)):
        first.setdefault(repeat.vm.uid, repeat)
    owed = tuple(first.values())
    return Tries(
        begin=tuple(repeat for repeat in owed if repeat.moment <= now),
        coming=tuple(repeat for repeat in owed if repeat.moment > now),
    )


def recorded_repeats(policy: AnyPolicy, coming: Iterable[Repeat]) -> list[RetryingMachine]:
    """As the policy's status shows them."""
    recorded = [
        RetryingMachine(
            name=called(policy, repeat.vm.namespace, repeat.vm.name),
            attempt=repeat.attempt,
            time=repeat.moment,
            reason=repeat.reason,
        )
        for repeat in coming
    ]
    return recorded[:MAX_DELAYED]


def _latest(policy: AnyPolicy, backups: Iterable[PolicyBackup]) -> list[PolicyBackup]:
    """Of each VM and tier the last try of the last run, where that is one that the status still knows of."""
    known = last_runs(policy.status)
    latest: dict[tuple[str, str, str], PolicyBackup] = {}
    for backup in sorted(backups, key=lambda backup: (backup.run, backup.attempt)):
        latest[backup.namespace, backup.vm, backup.tier] = backup
    return [backup for backup in latest.values() if backup.run in known]


def _repeat(policy: AnyPolicy, timetable: Timetable, vm: SelectedVM, backup: PolicyBackup) -> Repeat | None:
    retry, run = policy.spec.retry, run_time(backup.run)
    failed = backup.finished and backup.cleaned_up and not backup.succeeded
    may_pass = backup.reason in TRANSIENT and not backup.probe
    if not (failed and may_pass) or backup.attempt >= retry.attempts or backup.ended is None or run is None:
        return None
    moment = timetable.calendar.after(backup.ended + _pause(retry, vm.uid, backup.attempt))
    if timetable.deadline is not None and moment > run + _offset(timetable, backup.tier, vm.uid) + timetable.deadline:
        return None
    return Repeat(vm=vm, tier=backup.tier, run=run, attempt=backup.attempt + 1, moment=moment, reason=backup.reason)


def _pause(retry: Retry, uid: str, failed: int) -> timedelta:
    """Twice as long after each try, less up to a quarter by chance: VMs that failed together come back apart."""
    whole = parse_duration(retry.delay) * 2 ** (failed - 1)
    return timedelta(seconds=int(whole.total_seconds() * (1 - chance(uid, failed) / 4)))


def _offset(timetable: Timetable, tier: str, uid: str) -> timedelta:
    """The VM's part of the spread, which `startingDeadline` does not count; a run that was asked for has none."""
    return next((found.offset(uid) for found in timetable.tiers if found.name == tier), timedelta())
