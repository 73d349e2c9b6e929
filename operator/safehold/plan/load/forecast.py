"""What an outlook means for one policy: its `status.forecast`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from safehold.api.forecast import MAX_LATE, Forecast, LateMachine, Miss
from safehold.plan.fair_queue import Key
from safehold.plan.load.order import Outlook
from safehold.plan.load.projection import ExpectedRun, Lineup, Slot
from safehold.plan.summary import readable_duration

_STEP = timedelta(minutes=5)
"""A finish that shifts by less than this is no news: each would be a write of the status."""
_MINUTE = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """One run of the policy with its slot."""

    run: ExpectedRun
    slot: Slot
    state: Literal["Active", "Waiting", "Coming"]


def foreseen_runs(lineup: Lineup, outlook: Outlook) -> dict[str, list[Foreseen]]:
    """By the uid of its policy: every run that is active, waits or comes."""
    found: dict[str, list[Foreseen]] = defaultdict(list)
    for run in lineup.active:
        found[run.claim.policy].append(Foreseen(run=run, slot=outlook.slots[run.key], state="Active"))
    for run in lineup.waiting:
        found[run.claim.policy].append(Foreseen(run=run, slot=outlook.slots[run.key], state="Waiting"))
    for run in lineup.coming:
        found[run.claim.policy].append(Foreseen(run=run, slot=outlook.slots[run.key], state="Coming"))
    return found


def forecast_of(runs: Sequence[Foreseen], outlook: Outlook, now: datetime, *, namespaced: bool) -> Forecast | None:
    """The forecast of the policy that these are the runs of; None where nothing is left, and nothing is to come."""
    batch = _batch(runs, now)
    if not batch:
        return None
    late = sorted((one for one in runs if one.run.key in outlook.missed), key=_lateness, reverse=True)
    finish = _rounded(max(one.slot.ends for one in batch))
    return Forecast(
        runs_left=len(batch),
        finish_time=finish,
        late_machines=len({_vm(one) for one in late}),
        late=[_late(one, _ahead(one, runs, outlook), outlook, namespaced=namespaced) for one in late[:MAX_LATE]],
        read_bytes=int(sum(one.run.estimate.read for one in batch)),
        upload_bytes=int(sum(one.run.estimate.uploaded for one in batch)),
        order=outlook.order,
        summary=_summary(len(batch), finish, len(late)),
    )


def _ahead(one: Foreseen, runs: Iterable[Foreseen], outlook: Outlook) -> int:
    """How many waiting runs of its namespace go before it."""
    mine = outlook.sorting.place(one.run)
    return sum(
        other.state == "Waiting"
        and other.run.claim.namespace == one.run.claim.namespace
        and outlook.sorting.place(other.run) < mine
        for other in runs
    )


def _batch(runs: Sequence[Foreseen], now: datetime) -> list[Foreseen]:
    """The runs that are under way, with those whose run time has come but not yet their moment; else the next run's."""
    begun = [one for one in runs if one.state != "Coming" or (one.run.appointment and one.run.appointment.run <= now)]
    if begun:
        return begun
    coming = [(one.run.appointment.run, one) for one in runs if one.run.appointment is not None]
    first = min((run for run, _ in coming), default=None)
    return [one for run, one in coming if run == first]


def _late(one: Foreseen, ahead: int, outlook: Outlook, *, namespaced: bool) -> LateMachine:
    run, miss = one.run, outlook.missed[one.run.key]
    due = _limit(run, miss)
    long = readable_duration(run.estimate.careful_seconds)
    if one.state == "Active":
        why = f"it began at {_told(run.ready)} and takes up to {long}"
    else:
        queue = f", with {ahead} backups of its namespace before it" if ahead else ""
        waited = f" (it usually waits {readable_duration(run.estimate.waited)})" if run.estimate.waited >= 60 else ""
        why = f"its turn is expected at {_told(one.slot.begins)}{queue}{waited}, and it takes up to {long}"
    what = "the hours for it close" if miss == "Window" else "it is due"
    return LateMachine(
        name=run.claim.vm if namespaced else "/".join(_vm(one)),
        misses=miss,
        start_time=_rounded(one.slot.begins),
        end_time=_rounded(one.slot.ends),
        due_time=due,
        message=f"{why}; {what} at {_told(due)}",
    )


def _limit(run: ExpectedRun, miss: Miss) -> datetime:
    limit = run.appointment.closes if miss == "Window" and run.appointment else run.due
    assert limit is not None
    return limit


def _lateness(one: Foreseen) -> tuple[timedelta, Key]:
    return one.slot.ends - (one.run.deadline or one.slot.ends), one.run.key


def _vm(one: Foreseen) -> tuple[str, str]:
    return one.run.claim.namespace, one.run.claim.vm


def _rounded(moment: datetime) -> datetime:
    """To the next five minutes."""
    seconds = moment.timestamp()
    step = _STEP.total_seconds()
    return datetime.fromtimestamp(-(-seconds // step) * step, UTC)


def _told(moment: datetime) -> str:
    return f"{_rounded(moment).astimezone(UTC):{_MINUTE}} UTC"


def _summary(left: int, finish: datetime, late: int) -> str:
    told = f"{left} left, until {finish:%d %b %H:%M} UTC"
    return f"{told}, {late} late" if late else told
