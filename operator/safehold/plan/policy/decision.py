"""What a policy does now: which VMs' backups start, and what its status says.

`starts` says whose moment has come. While the target cannot be used nothing is dealt with, so that what is due then
starts later; an edited schedule and a resumed policy start counting from now.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from safehold.api.policy import MAX_MACHINE_NAMES
from safehold.errors import SpecError
from safehold.plan.conditions import conditions_for
from safehold.plan.policy.delays import RETRY, recorded_delays, refused
from safehold.plan.policy.facts import AnyPolicy, NewBackup, PolicyDecision, PolicyFacts, SelectedVM, called
from safehold.plan.policy.run import (
    Run,
    coming_times,
    kept_progress,
    progress_of,
    run_asked_for,
    run_changes,
    run_now,
    time_of_pending,
)
from safehold.plan.policy.starts import look
from safehold.plan.policy.status import policy_status
from safehold.plan.policy.timetable import Timetable
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

LONGEST_PAUSE = timedelta(minutes=5)
"""How old the number of matched VMs may get, and what is said of their objectives."""
SHORTEST_PAUSE = timedelta(seconds=2)
"""Between two looks that start something: in a large policy, VMs come due every second."""
TARGET_POLL = timedelta(seconds=15)


def due_vms(policy: AnyPolicy, vms: Sequence[SelectedVM], now: datetime) -> list[SelectedVM]:
    """VMs about whose earlier backups the decision has to know. A wrong schedule, or a suspended one, has none."""
    if policy.spec.suspend:
        return []
    try:
        timetable = Timetable.parse(policy.spec, now)
    except SpecError:
        return []
    at_once = time_of_pending(policy, run_asked_for(policy, now))
    found = look(timetable, vms, progress_of(policy, now), now, at_once=at_once)
    due = {start.uid for start in found.due}
    over = {delayed.name for delayed in policy.status.delayed_machines if delayed.until <= now}
    return [vm for vm in vms if vm.uid in due or called(policy, vm.namespace, vm.name) in over]


def next_run(policy: AnyPolicy, facts: PolicyFacts, now: datetime) -> PolicyDecision:
    """Decide. Deciding twice on the same facts gives the same VMBackups."""
    try:
        timetable = Timetable.parse(policy.spec, now)
    except SpecError as error:
        ahead = _nothing_ahead(policy, now)
        status = policy_status(policy, facts, now, "Stalled", "Invalid", error.reason, str(error), **ahead)
        return PolicyDecision(status=status)
    if policy.spec.suspend:
        message = "no run starts while spec.suspend is true"
        ahead = _nothing_ahead(policy, now)
        status = policy_status(policy, facts, now, "Ready", "Suspended", Reason.SUSPENDED, message, **ahead)
        return PolicyDecision(status=status, again=LONGEST_PAUSE)
    if facts.target is not None:
        return _wait_for_target(policy, facts, facts.target, timetable, now)
    if not facts.vms:
        return _select_nothing(policy, facts, timetable, now)
    return _start(policy, facts, timetable, now)


def with_refusals(
    policy: AnyPolicy, decision: PolicyDecision, refusals: Sequence[tuple[NewBackup, Refusal]], now: datetime
) -> PolicyDecision:
    """The decision once the cluster refused some of its VMBackups: these are tried again, and the others run."""
    if not refusals:
        return decision
    reason, sentence = refusals[0][1].reason, refusals[0][1].message
    message = f"{len(refusals)} VMBackups of the run could not be created, which is tried again: {sentence}"
    status = decision.status
    conditions = conditions_for(
        "Stalled", status.conditions, generation=policy.metadata.generation, now=now, reason=reason, message=message
    )
    again = refused(policy, (backup for backup, _ in refusals), now)
    names = {delayed.name for delayed in again}
    others = [delayed for delayed in status.delayed_machines if delayed.name not in names]
    changes = {
        "phase": "Stalled",
        "conditions": conditions,
        "delayed_machines": recorded_delays([*again, *others], now),
    }
    return replace(decision, status=status.model_copy(update=changes), again=RETRY)


def _nothing_ahead(policy: AnyPolicy, now: datetime) -> dict[str, Any]:
    """What the status of a policy that starts nothing says of the next runs; of the last ones it says what it did."""
    status = policy.status
    return {
        "next_schedule_time": None,
        "make_ups": [],
        "tiers": [tier.model_copy(update={"next_schedule_time": None}) for tier in status.tiers],
        "retrying_machines": [],
        "delayed_machines": recorded_delays(status.delayed_machines, now),
    }


def _wait_for_target(
    policy: AnyPolicy, facts: PolicyFacts, refusal: Refusal, timetable: Timetable, now: datetime
) -> PolicyDecision:
    waiting = refusal.reason is Reason.TARGET_NOT_READY
    progress = progress_of(policy, now)
    overdue = "; the run that is due starts as soon as it can" if look(timetable, facts.vms, progress, now).due else ""
    status = policy_status(
        policy,
        facts,
        now,
        "InProgress" if waiting else "Stalled",
        "Waiting" if waiting else "Stalled",
        refusal.reason,
        refusal.message + overdue,
        **coming_times(policy, timetable, now),
        **kept_progress(progress),
    )
    return PolicyDecision(status=status, again=TARGET_POLL)


def _select_nothing(policy: AnyPolicy, facts: PolicyFacts, timetable: Timetable, now: datetime) -> PolicyDecision:
    message = "the selectors match no VirtualMachine, so nothing is protected; correct them or label the VMs"
    coming, progress = coming_times(policy, timetable, now), progress_of(policy, now)
    status = policy_status(
        policy,
        facts,
        now,
        "Stalled",
        "Stalled",
        Reason.NO_VM_SELECTED,
        message,
        handled_until=max(progress.handled_until, *_last_runs(timetable, now)),
        make_ups=[],
        retrying_machines=[],
        delayed_machines=[],
        **coming,
    )
    return PolicyDecision(status=status, again=_until(coming["next_schedule_time"], now))


def _start(policy: AnyPolicy, facts: PolicyFacts, timetable: Timetable, now: datetime) -> PolicyDecision:
    run = run_now(policy, facts, timetable, now)
    changes = run_changes(policy, timetable, run, now)
    # It stays until the next run: the looks in between know nothing of what was active then.
    goes_on = changes["last_schedule_time"] == policy.status.last_schedule_time
    left_out = list(dict.fromkeys([*(policy.status.skipped_machine_names if goes_on else ()), *run.skipped]))
    left_out = left_out[:MAX_MACHINE_NAMES]
    status = policy_status(
        policy,
        facts,
        now,
        "Ready",
        "Scheduled",
        Reason.SCHEDULED,
        _message(facts, run, changes["next_schedule_time"], left_out),
        skipped_machine_names=left_out,
        **({"active_backups": run.active} if run.look.due or run.create else {}),
        **changes,
    )
    if _is_refused(policy, run):
        kept = {"phase": policy.status.phase, "conditions": policy.status.conditions}
        status = status.model_copy(update=kept)
    known = {delayed.name for delayed in policy.status.delayed_machines}
    return PolicyDecision(
        status=status,
        create=run.create,
        again=max(_until(_next_moment(run), now), SHORTEST_PAUSE if run.create or run.again.coming else timedelta()),
        skipped=run.skipped,
        missed=run.missed,
        retried=tuple(called(policy, each.vm.namespace, each.vm.name) for each in run.again.begin),
        delayed=tuple(delayed for delayed in run.delays if delayed.failures and delayed.name not in known),
    )


def _message(facts: PolicyFacts, run: Run, following: datetime, left_out: Sequence[str]) -> str:
    message = f"{len(facts.vms)} VMs are backed up next at {following:%Y-%m-%d %H:%M} UTC"
    if left_out:
        message += f"; left out of the last run, their earlier backup being active: {', '.join(left_out)}"
    if failing := [delayed.name for delayed in run.delays if delayed.failures]:
        named = ", ".join(failing[:MAX_MACHINE_NAMES])
        message += f"; held back after repeated failures (status.delayedMachines): {named}"
    return message


def _is_refused(policy: AnyPolicy, run: Run) -> bool:
    """Whether VMBackups that the cluster refused are waiting to be tried again: until then the status says so."""
    told = policy.status.observed_generation == policy.metadata.generation and policy.status.phase == "Stalled"
    return told and any(not delayed.failures for delayed in run.delays)


def _last_runs(timetable: Timetable, now: datetime) -> list[datetime]:
    """Run times that had no VM: one that is labelled later waits for the next."""
    return [last for tier in timetable.tiers if (last := tier.schedule.latest_until(now)) is not None]


def _next_moment(run: Run) -> datetime | None:
    return min(
        (at for at in (run.look.next, *(each.moment for each in run.again.coming)) if at is not None), default=None
    )


def _until(moment: datetime | None, now: datetime) -> timedelta:
    return min(LONGEST_PAUSE, max(timedelta(), moment - now)) if moment else LONGEST_PAUSE
