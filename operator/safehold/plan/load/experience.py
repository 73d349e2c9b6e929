"""How long a VM's next run will take, and what it will move, learnt from the runs before.

Quantiles and not means: one run that hung for a day says nothing about the next. A day of the week counts by itself
once it has enough runs, because a batch job on Sundays makes Sunday's backup a long one on every Sunday. A VM without
runs is taken to be like the fleet: its disks at the fleet's speed, or the fleet's usual run.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from safehold.plan.load.history import KnownSize, PastRun, VMKey

Basis = Literal["Weekday", "AllDays", "Size", "Fleet", "Nothing"]
"""What an estimate is made from, the best first."""

RUNS_KEPT = 28
"""Of each VM: four weeks of daily runs, in 1.1 KiB."""
FORGOTTEN_AFTER = timedelta(days=100)
"""A VM without a run for so long is gone, or is no longer what it was."""
WEEKDAY_RUNS = 3
"""So many runs on a day of the week count more than those of all days."""
USUAL, CAREFUL = 0.5, 0.75
"""Quantiles: half of the runs take no longer; three of four take no longer, so that one in four may be an outlier."""
UNKNOWN_SECONDS = 600.0
"""A run about which nothing at all is known."""
_FIELDS = 5
_SECONDS, _WAITED, _READ, _UPLOADED = range(1, _FIELDS)
"""Columns of a row, after the timestamp of its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is expected of a run. `seconds` are as usual; three runs of four do not exceed `careful_seconds`."""

    seconds: float
    careful_seconds: float
    waited: float
    """Seconds that its last ones had waited for their turn, as usual."""
    read: float
    uploaded: float
    basis: Basis


@dataclass(slots=True)
class _Record:
    """One VM's runs, the oldest first, as rows of numbers: thousands of VMs are kept."""

    vm_uid: str
    newest: datetime
    """When its newest run began."""
    rows: "array[float]" = field(default_factory=lambda: array("d"))
    estimates: dict[int | None, Estimate] = field(default_factory=dict)
    """Those that were asked for since the last run; None: of all days."""

    def add(self, run: PastRun) -> bool:
        """Whether the run was not known yet."""
        started = run.started.timestamp()
        place = len(self.rows)
        while place and self.rows[place - _FIELDS] > started:
            place -= _FIELDS
        if place and self.rows[place - _FIELDS] == started:
            return False
        self.rows[place:place] = array("d", (started, run.seconds, run.waited, run.read, run.uploaded))
        del self.rows[: max(0, len(self.rows) - RUNS_KEPT * _FIELDS)]
        self.newest = max(self.newest, run.started)
        self.estimates.clear()
        return True

    def estimate(self, weekday: int | None) -> Estimate:
        """From the runs of a day of the week, if they are enough, else from all."""
        if (known := self.estimates.get(weekday)) is None:
            known = self.estimates[weekday] = self._estimated(weekday)
        return known

    def _estimated(self, weekday: int | None) -> Estimate:
        enough = weekday is not None and len(self.column(_SECONDS, weekday)) >= WEEKDAY_RUNS
        day = weekday if enough else None
        seconds = self.column(_SECONDS, day)
        return Estimate(
            seconds=quantile(seconds, USUAL),
            careful_seconds=quantile(seconds, CAREFUL),
            waited=quantile(self.column(_WAITED, day), USUAL),
            read=quantile(self.column(_READ, day), USUAL),
            uploaded=quantile(self.column(_UPLOADED, day), USUAL),
            basis="Weekday" if enough else "AllDays",
        )

    def column(self, number: int, weekday: int | None = None) -> list[float]:
        """One number of each run, sorted; of one day of the week (UTC, 0 is Monday), or of all."""
        rows = range(0, len(self.rows), _FIELDS)
        return sorted(self.rows[row + number] for row in rows if weekday is None or _weekday(self.rows[row]) == weekday)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """What is usual among all VMs; a speed of 0 is unknown."""

    estimate: Estimate
    shortest: float
    bytes_per_second: float


@dataclass(slots=True)
class Experience:
    """What was learnt so far. The same runs in any order, and any number of times, lead to the same estimates."""

    _records: dict[VMKey, _Record] = field(default_factory=dict)
    _sizes: dict[VMKey, KnownSize] = field(default_factory=dict)
    """Of VMs without a run that made a point."""
    _learnt: int = 0
    _fleet: _Fleet | None = None
    _fleet_learnt: int = 0
    """How many runs there were when `_fleet` was found."""

    def learn(self, run: PastRun) -> None:
        """Take a run into account; what was known of another VM under the same name is forgotten."""
        record = self._records.get(run.vm)
        if record is None or record.vm_uid != run.vm_uid:
            if record is not None and record.newest > run.started:
                return
            record = self._records[run.vm] = _Record(run.vm_uid, run.started)
        self._learnt += record.add(run)
        self._sizes.pop(run.vm, None)

    def note_size(self, known: KnownSize) -> None:
        """Take in how large a VM is of which no run is known."""
        if known.vm not in self._records:
            self._sizes[known.vm] = known

    def forget_old(self, now: datetime) -> None:
        """Forget VMs that have had no run for long."""
        gone = [vm for vm, record in self._records.items() if now - record.newest > FORGOTTEN_AFTER]
        for vm in gone:
            del self._records[vm]
        for known in [known for known in self._sizes.values() if now - known.seen > FORGOTTEN_AFTER]:
            del self._sizes[known.vm]

    def estimate(self, vm: VMKey, start: datetime) -> Estimate:
        """What to expect of a run that starts about then."""
        record = self._records.get(vm)
        if record is None:
            known = self._sizes.get(vm)
            return self._from_fleet(known.size if known else 0)
        return record.estimate(start.astimezone(UTC).weekday())

    def _from_fleet(self, size: int) -> Estimate:
        fleet = self._usual()
        if fleet is None:
            return Estimate(
                seconds=UNKNOWN_SECONDS,
                careful_seconds=UNKNOWN_SECONDS,
                waited=0.0,
                read=float(size),
                uploaded=float(size),
                basis="Nothing",
            )
        if not size or not fleet.bytes_per_second:
            return fleet.estimate
        # The first run reads and sends everything.
        seconds = fleet.shortest + size / fleet.bytes_per_second
        return Estimate(
            seconds=seconds,
            careful_seconds=seconds,
            waited=fleet.estimate.waited,
            read=float(size),
            uploaded=float(size),
            basis="Size",
        )

    def _usual(self) -> _Fleet | None:
        """Found again when a tenth more is known: it is asked for once per VM without runs."""
        if self._fleet is None or self._learnt > 1.1 * self._fleet_learnt:
            self._fleet, self._fleet_learnt = _fleet(self._records.values()), self._learnt
        return self._fleet


def _fleet(records: Iterable[_Record]) -> _Fleet | None:
    known = [record.estimate(None) for record in records]
    if not known:
        return None

    def middle(values: Iterable[float], share: float = USUAL) -> float:
        return quantile(sorted(values), share)

    # Small runs are mostly snapshots and volumes to wait for, and say little about speed.
    speed = middle((each.read / each.seconds for each in known if each.seconds > 0), CAREFUL)
    return _Fleet(
        estimate=Estimate(
            seconds=middle(each.seconds for each in known),
            careful_seconds=middle((each.careful_seconds for each in known), CAREFUL),
            waited=middle(each.waited for each in known),
            read=middle(each.read for each in known),
            uploaded=middle(each.uploaded for each in known),
            basis="Fleet",
        ),
        shortest=middle((each.seconds for each in known), 1 - CAREFUL),
        bytes_per_second=speed,
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the ordered ones does not exceed, never one between two; 0 without any.

    It is rounded down, so that of four values the highest one, be it ever so high, has no part in three quarters.
    """
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


def _weekday(timestamp: float) -> int:
    # 1 January 1970 was a Thursday.
    return (int(timestamp) // 86400 + 3) % 7
