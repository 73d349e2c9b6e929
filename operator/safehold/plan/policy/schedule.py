"""Run times: a cron line in a time zone.

Around a change of the clock it does what Debian's cron does (cronsim): a fixed time that is skipped runs right after
the gap, one that occurs twice runs once; lines with a star for minute or hour follow the elapsed time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from safehold.errors import SpecError
from safehold.reasons import Reason

_CLOCK_CHANGE = timedelta(hours=3)
"""More than any clock is put forward or back by."""
_EXAMPLE = "write minute, hour, day of month, month and day of week, such as `0 3 * * *`"
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
_RUNS_COMPARED = 100


def time_zone(name: str) -> ZoneInfo:
    """The zone of that name; a SpecError where there is none."""
    try:
        return ZoneInfo(name)
    # Besides an unknown key: names with .. or a slash first, and folders of the database.
    except (KeyError, ValueError, OSError) as error:
        raise SpecError(
            "spec.timeZone is not in the IANA time zone database",
            found=repr(name),
            remedy="write a name such as `Europe/Berlin` or `UTC`",
            reason=Reason.UNKNOWN_TIME_ZONE,
        ) from error


@dataclass(frozen=True, slots=True)
class Schedule:
    """A checked cron line in its time zone. All times that it answers with are in UTC."""

    cron: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, line: str, zone: str) -> "Schedule":
        """Check both; a SpecError says what is wrong and how to write it."""
        cron = _WORDS.get(line, line)
        schedule = cls(cron, time_zone(zone))
        if "TZ=" in cron:
            raise _bad_cron(line, "the time zone goes into spec.timeZone")
        if len(cron.split()) != 5:
            raise _bad_cron(line, _EXAMPLE)
        try:
            schedule.next_after(_LEAP_YEAR)
        except CronSimError as error:
            raise _bad_cron(line, f"{error}: {_EXAMPLE}") from error
        return schedule

    def next_after(self, moment: datetime) -> datetime:
        """The first run after `moment`; a SpecError where none comes in fifty years."""
        for run in CronSim(self.cron, moment.astimezone(self.zone)):
            # Within the hour that occurs twice, cronsim may answer with the first occurrence.
            if run.astimezone(UTC) > moment:
                return run.astimezone(UTC)
        raise _bad_cron(self.cron, f"no day fits it: {_EXAMPLE}")

    def latest_until(self, moment: datetime) -> datetime | None:
        """The last run at or before `moment`; None where there was none in fifty years."""
        backwards = CronSim(self.cron, moment.astimezone(self.zone), reverse=True)
        # Backwards, cronsim places runs around a change of the clock otherwise than forwards; forwards is what counts.
        start = next(backwards, moment).astimezone(UTC) - _CLOCK_CHANGE
        latest, run = None, self.next_after(start)
        while run <= moment:
            latest, run = run, self.next_after(run)
        return latest

    def shortest_interval(self) -> timedelta:
        """The shortest time between two of a hundred runs in a row."""
        return _shortest_interval(self)


@lru_cache(maxsize=1024)
def _shortest_interval(schedule: Schedule) -> timedelta:
    runs = [schedule.next_after(_LEAP_YEAR)]
    while len(runs) < _RUNS_COMPARED:
        runs.append(schedule.next_after(runs[-1]))
    return min(later - run for run, later in pairwise(runs))


def _bad_cron(cron: str, remedy: str) -> SpecError:
    return SpecError(
        "the schedule is not a cron line of five fields, nor a word such as `@daily`",
        found=repr(cron),
        remedy=remedy,
        reason=Reason.INVALID_SCHEDULE,
    )
