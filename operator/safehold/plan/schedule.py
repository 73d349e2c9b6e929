"""When a policy runs: a cron line in a time zone, and which run is due.

Around a change of the clock it does what Debian's cron does (cronsim): a fixed time that is skipped runs right after
the gap, one that occurs twice runs once; lines with a star for minute or hour follow the elapsed time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from safehold.errors import SpecError
from safehold.reasons import Reason

_CLOCK_CHANGE = timedelta(hours=3)
"""More than any clock is put forward or back by."""
_EXAMPLE = "write minute, hour, day of month, month and day of week, such as `0 3 * * *`"


def _zone(name: str) -> ZoneInfo:
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
    def parse(cls, cron: str, time_zone: str) -> "Schedule":
        """Check both; a SpecError says what is wrong and how to write it."""
        schedule = cls(cron, _zone(time_zone))
        if "TZ=" in cron:
            raise _bad_cron(cron, "the time zone goes into spec.timeZone")
        if len(cron.split()) != 5:
            raise _bad_cron(cron, _EXAMPLE)
        try:
            schedule.next_after(datetime(2000, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise _bad_cron(cron, f"{error}: {_EXAMPLE}") from error
        return schedule

    def next_after(self, moment: datetime) -> datetime:
        """The first run after `moment`; a SpecError where none comes in fifty years."""
        for run in CronSim(self.cron, moment.astimezone(self.zone)):
            # Within the hour that occurs twice, cronsim may answer with the first occurrence.
            if run.astimezone(UTC) > moment:
                return run.astimezone(UTC)
        raise _bad_cron(self.cron, f"no day fits it: {_EXAMPLE}")

    def latest_until(self, moment: datetime, *, since: datetime) -> datetime | None:
        """The last run in (`since`, `moment`]: however many were missed, one makes up for all of them."""
        backwards = CronSim(self.cron, moment.astimezone(self.zone), reverse=True)
        # Backwards, cronsim places runs around a change of the clock otherwise than forwards; forwards is what counts.
        start = next(backwards, moment).astimezone(UTC) - _CLOCK_CHANGE
        latest = None
        run = self.next_after(max(start, since))
        while run <= moment:
            latest, run = run, self.next_after(run)
        return latest


def _bad_cron(cron: str, remedy: str) -> SpecError:
    return SpecError(
        "spec.schedule is not a cron line of five fields",
        found=repr(cron),
        remedy=remedy,
        reason=Reason.INVALID_SCHEDULE,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTimes:
    """The run that is due now, and the next one; both absent while suspended."""

    due: datetime | None
    next: datetime | None


def run_times(cron: str, time_zone: str, *, suspend: bool, since: datetime, now: datetime) -> RunTimes:
    """What is due. `since`: the last run time, or the policy's creation where there is none; raises SpecError."""
    schedule = Schedule.parse(cron, time_zone)
    if suspend:
        return RunTimes(due=None, next=None)
    return RunTimes(due=schedule.latest_until(now, since=since), next=schedule.next_after(now))
