"""The starts of one look: VMBackups to create, VMs that are left out, missed or held back, and what is told of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from safehold.api.policy import MAX_MACHINE_NAMES, BackupPolicyStatus
from safehold.api.timing import DelayedMachine, MakeUp, RunNow, TierStatus
from safehold.plan.names import label_value
from safehold.plan.policy.delays import delays, recorded_delays
from safehold.plan.policy.facts import (
    RUN_NOW,
    AnyPolicy,
    NewBackup,
    PolicyFacts,
    SelectedVM,
    called,
    new_backup,
    run_label,
)
from safehold.plan.policy.hours import Span
from safehold.plan.policy.repeats import Tries, further_tries, recorded_repeats
from safehold.plan.policy.starts import Look, Progress, Start, look
from safehold.plan.policy.timetable import Timetable, schedule_digest

_SOON = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one look starts. VMs are named as the policy's status names them."""

    look: Look
    asked: RunNow | None
    create: tuple[NewBackup, ...]
    skipped: tuple[str, ...]
    """VMs whose earlier backup is still active."""
    missed: tuple[str, ...]
    again: Tries
    """Failed backups that are tried again, now or later."""
    delays: tuple[DelayedMachine, ...]
    """All that are held back for longer than now."""
    active: int


def progress_of(policy: AnyPolicy, now: datetime) -> Progress:
    """How far the policy's starts are dealt with; from now on where its schedule is a new one, or was suspended."""
    status = policy.status
    if status.observed_generation is None:
        return Progress(policy.metadata.creation_timestamp or now)
    changed = status.observed_schedule != schedule_digest(policy.spec)
    if status.handled_until is None or status.next_schedule_time is None or changed:
        return Progress(now)
    return Progress(status.handled_until, tuple(Span(stretch.start, stretch.end) for stretch in status.make_ups))


def run_asked_for(policy: AnyPolicy, now: datetime) -> RunNow | None:
    """The run that the annotation asks for; its time is a second ahead, to be recorded before anything starts."""
    value = label_value(policy.metadata.annotations.get(RUN_NOW, ""))
    known = policy.status.run_now
    if not value or (known is not None and known.value == value):
        return known
    return RunNow(value=value, time=now + _SOON)


def time_of_pending(policy: AnyPolicy, asked: RunNow | None) -> datetime | None:
    """The run time of a run that was asked for, unless it is dealt with."""
    handled = policy.status.handled_until
    return asked.time if asked is not None and (handled is None or asked.time > handled) else None


def run_now(policy: AnyPolicy, facts: PolicyFacts, timetable: Timetable, now: datetime) -> Run:
    """What starts at this moment."""
    asked, held = run_asked_for(policy, now), delays(policy, facts)
    found = look(
        timetable,
        facts.vms,
        progress_of(policy, now),
        now,
        not_before={uid: delayed.until for uid, delayed in held.items()},
        at_once=time_of_pending(policy, asked),
    )
    vms = {vm.uid: vm for vm in facts.vms}
    active = {(backup.namespace, backup.vm) for backup in facts.backups if not backup.finished}
    made = {(backup.namespace, backup.vm, backup.tier, backup.run) for backup in facts.backups}
    due = [(vms[start.uid], start) for start in found.due]
    fresh = [(vm, start) for vm, start in due if (vm.namespace, vm.name, start.tier, run_label(start.run)) not in made]
    create = [
        new_backup(policy, vm, start.run, start.tier, probe=vm.uid in held and held[vm.uid].failures > 0)
        for vm, start in fresh
        if (vm.namespace, vm.name) not in active
    ]
    tripped = {uid for uid, delayed in held.items() if delayed.failures and delayed.until > now}
    again = further_tries(policy, facts, timetable, now, barred=tripped | {start.uid for start in found.due})
    create += [new_backup(policy, each.vm, each.run, each.tier, attempt=each.attempt) for each in again.begin]
    return Run(
        look=found,
        asked=asked,
        create=tuple(create),
        again=again,
        skipped=tuple(called(policy, vm.namespace, vm.name) for vm, _ in fresh if (vm.namespace, vm.name) in active),
        missed=_names(policy, (vms[start.uid] for start in found.missed)),
        delays=tuple(recorded_delays(held.values(), now)),
        active=len(create) + len(active),
    )


def run_changes(policy: AnyPolicy, timetable: Timetable, run: Run, now: datetime) -> dict[str, Any]:
    """The fields of the status that say when runs were and will be, and what to go on from."""
    status, found = policy.status, run.look
    changes: dict[str, Any] = {
        "last_schedule_time": _last(status.last_schedule_time, found.due),
        **coming_times(policy, timetable, now, found.due),
        "run_now": run.asked,
        "delayed_machines": list(run.delays),
        "retrying_machines": recorded_repeats(policy, run.again.coming),
        **_progress_changes(policy, found, now),
    }
    if found.missed:
        run_time = max(start.run for start in found.missed)
        before = status.missed_machine_names if run_time == status.last_missed_time else []
        changes["last_missed_time"] = run_time
        changes["missed_machine_names"] = [*before, *run.missed][:MAX_MACHINE_NAMES]
    return changes


def coming_times(policy: AnyPolicy, timetable: Timetable, now: datetime, due: Sequence[Start] = ()) -> dict[str, Any]:
    """The fields of the status that say when the next runs are, of each tier too, and its last one: `due` begin now."""
    following = {tier.name: timetable.next_run(tier, now) for tier in timetable.tiers}
    tiers = [
        TierStatus(
            name=name,
            last_schedule_time=_last(_recorded(policy.status, name), (start for start in due if start.tier == name)),
            next_schedule_time=moment,
        )
        for name, moment in following.items()
        if name
    ]
    return {"next_schedule_time": min(following.values()), "tiers": tiers}


def kept_progress(progress: Progress) -> dict[str, Any]:
    """The fields of the status that say where to go on from."""
    make_ups = [MakeUp(start=stretch.start, end=stretch.end) for stretch in progress.stretches]
    return {"handled_until": progress.handled_until, "make_ups": make_ups}


def _progress_changes(policy: AnyPolicy, found: Look, now: datetime) -> dict[str, Any]:
    """Where to go on from; while nothing is dealt with it stays, so that a look that does nothing writes nothing."""
    before, after = progress_of(policy, now), found.progress
    idle = not (found.due or found.missed or found.held_back) and before.stretches == after.stretches
    known = policy.status.handled_until is not None and before.handled_until == policy.status.handled_until
    return kept_progress(before if idle and known else after)


def _recorded(status: BackupPolicyStatus, tier: str) -> datetime | None:
    return next((known.last_schedule_time for known in status.tiers if known.name == tier), None)


def _last(known: datetime | None, starts: Iterable[Start]) -> datetime | None:
    return max((time for time in (known, *(start.run for start in starts)) if time is not None), default=None)


def _names(policy: AnyPolicy, vms: Iterable[SelectedVM]) -> tuple[str, ...]:
    return tuple(called(policy, vm.namespace, vm.name) for vm in vms)
