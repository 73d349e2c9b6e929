"""When the runs of a policy start: cron lines in tiers, spread, allowed hours, and what repeated failures change."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Count, Time, Word, list_map, rules
from safehold.api.durations import Duration, duration_between
from safehold.api.retention import Retention

_FIELD = "[0-9A-Za-z*/,#-]+"
CronLine = Annotated[
    str, Field(max_length=256, pattern=rf"^(@(hourly|daily|weekly|monthly|yearly)|{_FIELD}( +{_FIELD}){{4}})$")
]
"""Five fields, or one of the words for the usual ones."""
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
Days = Annotated[list[Day], Field(min_length=1, max_length=7, json_schema_extra={"x-kubernetes-list-type": "set"})]
_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
Opening = Annotated[str, Field(max_length=5, pattern=f"^{_HOUR}$")]
Closing = Annotated[str, Field(max_length=5, pattern=f"^({_HOUR}|24:00)$")]
TierName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]

MAX_DELAYED = 128
"""VMs whose runs are held back, as a status tells them; others wait for the next run."""
MAX_MAKE_UPS = 8


Spread = Annotated[Duration, Field(json_schema_extra=duration_between("spread", "1s", "168h"))]
Deadline = Annotated[Duration, Field(json_schema_extra=duration_between("startingDeadline", "1m", "168h"))]
FirstPause = Annotated[Duration, Field(json_schema_extra=duration_between("delay", "1m", "6h"))]
LongestDelay = Annotated[Duration, Field(json_schema_extra=duration_between("maxDelay", "1h", "168h"))]

_SHORTER_THAN_ITS_INTERVAL = tuple(
    (
        f"!has(self.spread) || !has(self.schedule) || self.schedule != '{word}' || {shorter}",
        f"spread must be shorter than the time between two runs, which for {word} is {interval}",
    )
    # A day on which the clock is put forward has 23 hours.
    for word, interval in (("@hourly", "1h"), ("@daily", "23h"))
    for shorter in [f"duration(self.spread) < duration('{interval}')"]
)
EXACTLY_ONE_SCHEDULE = (
    "has(self.schedule) != has(self.schedules)",
    "exactly one of schedule and schedules must be set",
)
TIMING_RULES = rules(
    EXACTLY_ONE_SCHEDULE,
    *_SHORTER_THAN_ITS_INTERVAL,
)
_WEEKLY = "has(self.from) && has(self.to) && !has(self.start) && !has(self.end)"
_SINGLE = "has(self.start) && has(self.end) && !has(self.from) && !has(self.to)"
ENDS_DIFFER = ("self.from != self.to", "from and to must differ; a whole day is from 00:00 to 24:00")


class ScheduleTier(ApiModel):
    """One of several rhythms of a policy."""

    model_config = ConfigDict(json_schema_extra=rules(*_SHORTER_THAN_ITS_INTERVAL))

    name: TierName
    """What its VMBackups carry as the label `safehold.dev/tier`."""
    schedule: CronLine
    """When, like `spec.schedule`."""
    spread: Spread | None = None
    """Over how much time the VMs of a run start; absent: `spec.spread`."""
    retention: Retention | None = None
    """How long the points of this tier stay, counted by themselves; absent: by `spec.retention`, with the others."""


class Window(ApiModel):
    """Hours of the week, in `spec.timeZone`."""

    model_config = ConfigDict(json_schema_extra=rules(ENDS_DIFFER))

    days: Days | None = None
    """On which it opens; absent: every day."""
    from_: Opening
    """When it opens, such as `22:00`."""
    to: Closing
    """When it closes; on the next day where it is not later than `from`."""


class Blackout(ApiModel):
    """Hours of the week, or one stretch of time, in which no run starts."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (f"{_WEEKLY} || {_SINGLE}", "a blackout has either from and to, or start and end"),
            ("!has(self.days) || has(self.from)", "days goes with from and to"),
            (f"!has(self.from) || !has(self.to) || {ENDS_DIFFER[0]}", ENDS_DIFFER[1]),
        )
    )

    days: Days | None = None
    """On which `from` is; absent: every day."""
    from_: Opening | None = None
    """When it begins, in `spec.timeZone`, such as `08:00`."""
    to: Closing | None = None
    """When it ends; on the next day where it is not later than `from`."""
    start: Time | None = None
    """When it begins, once, such as `2026-12-24T00:00:00Z`."""
    end: Time | None = None
    """When it ends."""


class CircuitBreaker(ApiModel):
    """What repeated failures of a VM change."""

    failures: Annotated[int, Field(ge=1, le=10, json_schema_extra={"format": "int32"})] = 3
    """After how many failed backups in a row a VM's next run is held back: by an hour, then by two, four and so on."""
    max_delay: LongestDelay = "6h"
    """The longest time that it is held back. One success ends it."""


class Retry(ApiModel):
    """How a backup that failed for a reason that may pass is tried again within its run."""

    attempts: Annotated[int, Field(ge=1, le=5, json_schema_extra={"format": "int32"})] = 3
    """How often a VM is backed up in one run at most, until one backup succeeds; 1: it is not tried again."""
    delay: FirstPause = "5m"
    """How long after a failure the second try begins; each further one after twice as long, less up to a quarter."""


class Timing(ApiModel):
    """When runs start: the part of a policy's spec that decides it."""

    schedule: CronLine | None = None
    """When, as a cron line of five fields (minute, hour, day of month, month, day of week), or as `@hourly`, `@daily`,
    `@weekly`, `@monthly` or `@yearly`."""
    schedules: (
        Annotated[list[ScheduleTier], Field(min_length=1, max_length=8, json_schema_extra=list_map("name"))] | None
    ) = None
    """Several rhythms in place of `schedule`. A VM that is due in two at once gets the backup of the first one."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """The zone of schedules, windows and blackouts, by its name in the IANA time zone database."""
    spread: Spread | None = None
    """Over how much time the VMs of a run start, each at its own moment that stays the same; absent: all at once."""
    windows: Annotated[list[Window], Field(max_length=16)] | None = None
    """Hours in which runs may start; absent: always. A run that is due outside of them waits for the next one."""
    blackouts: Annotated[list[Blackout], Field(max_length=32)] | None = None
    """Hours in which no run starts, also within windows."""
    starting_deadline: Deadline | None = None
    """How late a backup may start; one that would start later is missed. Absent: it is made up for however late."""
    retry: Retry = Retry()
    """How a failed backup is tried again within its run: in allowed hours, and within `startingDeadline`."""
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    """What repeated failures of a VM change."""
    suspend: bool = False
    """While true no run starts; active ones end. Runs that were missed meanwhile are not made up for."""


class TierStatus(ApiModel):
    """The run times of one of `spec.schedules`."""

    name: TierName
    """Which."""
    last_schedule_time: Time | None = None
    """The run time for which VMBackups were created last."""
    next_schedule_time: Time | None = None
    """When its next run may start."""


class MakeUp(ApiModel):
    """Time in which no run could start. What was due in it is made up for once, spread again from its end."""

    start: Time
    """When it began."""
    end: Time
    """When runs could start again."""


class RunNow(ApiModel):
    """The run that was asked for last by the annotation `safehold.dev/run-now`."""

    value: Word
    """The annotation's value; another one asks for another run."""
    time: Time
    """Its run time."""


class DelayedMachine(ApiModel):
    """A VM whose next backup is held back."""

    name: Annotated[str, Field(max_length=317)]
    """The VM; `namespace/name` where the policy is a cluster's."""
    failures: Count
    """How many of its backups failed in a row; 0 where the cluster refused to take its VMBackup."""
    until: Time
    """When the next one may start."""


class RetryingMachine(ApiModel):
    """A VM whose backup failed, and is tried again."""

    name: Annotated[str, Field(max_length=317)]
    """The VM; `namespace/name` where the policy is a cluster's."""
    attempt: Count
    """Which try it will be."""
    time: Time
    """When it may begin."""
    reason: Word
    """Why the one before it failed."""


class TimingStatus(ApiModel):
    """What the controller has to know at its next look, however long it was away."""

    observed_schedule: Word | None = None
    """A digest of what decides when runs start. A changed one counts from then on: an edit never starts a run."""
    handled_until: Time | None = None
    """Every start up to this time is dealt with."""
    make_ups: Annotated[list[MakeUp], Field(max_length=MAX_MAKE_UPS)] = Field(default_factory=list)
    """Stretches of time whose missed starts are being made up for."""
    run_now: RunNow | None = None
    """The run that was asked for last."""
    tiers: Annotated[list[TierStatus], Field(max_length=8, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """The run times of each of `spec.schedules`."""
    delayed_machines: Annotated[list[DelayedMachine], Field(max_length=MAX_DELAYED)] = Field(default_factory=list)
    """VMs whose next backup is held back, after repeated failures or because the cluster refused it."""
    retrying_machines: Annotated[list[RetryingMachine], Field(max_length=MAX_DELAYED)] = Field(default_factory=list)
    """VMs whose backup of the last run failed for a reason that may pass, the next to be tried again first."""
    last_missed_time: Time | None = None
    """The run time of the last run that could not begin within `startingDeadline`."""
    missed_machine_names: Annotated[list[Annotated[str, Field(max_length=317)]], Field(max_length=10)] = Field(
        default_factory=list
    )
    """The first ten VMs that it missed."""
