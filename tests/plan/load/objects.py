"""Past and expected runs, as tables write them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from safehold.plan.fair_queue import Claim
from safehold.plan.load.appointments import Appointment
from safehold.plan.load.experience import Estimate
from safehold.plan.load.history import PastRun, VMKey
from safehold.plan.load.projection import ExpectedRun, Lineup

MONDAY = datetime(2026, 11, 23, 22, 0, tzinfo=UTC)
DB: VMKey = ("shop", "db")
GIB = 1 << 30


def past(seconds: float, day: int = 0, *, vm: VMKey = DB, **changes: Any) -> PastRun:
    """A run so many days before Monday."""
    started = MONDAY - timedelta(days=day)
    known: dict[str, Any] = {
        "vm_uid": "uid-" + vm[1],
        "started": started,
        "waited": 0.0,
        "read": GIB,
        "uploaded": GIB // 2,
        **changes,
    }
    return PastRun(vm=vm, seconds=seconds, **known)


def minutes(count: float) -> timedelta:
    """So many."""
    return timedelta(minutes=count)


def expected(
    name: str,
    takes: float,
    due: float | None,
    *,
    namespace: str = "shop",
    since: float = 0,
    closes: float | None = None,
    pools: frozenset[str] = frozenset(),
    policy: str = "policy",
    waited: float = 0,
) -> ExpectedRun:
    """A run that takes so many minutes; all times are minutes after Monday's 22:00."""
    came = MONDAY + minutes(since)
    deadline = None if due is None else MONDAY + minutes(due)
    appointment = deadline and Appointment(
        run=MONDAY, moment=came, due=deadline, closes=None if closes is None else MONDAY + minutes(closes)
    )
    return ExpectedRun(
        key=(namespace, name),
        claim=Claim(namespace=namespace, since=came, pools=pools, vm=name, policy=policy),
        ready=came,
        estimate=Estimate(
            seconds=takes * 60, careful_seconds=takes * 60, waited=waited, read=GIB, uploaded=GIB / 2, basis="AllDays"
        ),
        due=deadline,
        appointment=appointment or None,
    )


def lineup(limit: int, *waiting: ExpectedRun, limits: Mapping[str, int] | None = None, **others: Any) -> Lineup:
    """Runs that wait on Monday at 22:00."""
    return Lineup(
        now=MONDAY, limit=limit, limits=limits or {}, active=others.pop("active", ()), waiting=waiting, **others
    )
