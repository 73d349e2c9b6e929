"""What the engine has to reach, row by row (the design's numbers), and whether this run has."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.disk import MIB
from bench.measure import cores
from bench.results import Result, Results
from bench.rows.changed_blocks import RESTORE, RESTORE_DELTA
from bench.rows.clones import CLONES
from bench.rows.history import SCAN

OURS, RIVAL = "safehold", "restic"
_SPEED = ": speed"
_MEMORY_MIB = 200
_BUSY = 0.85
"""From this share on, a resource counts as what bounds a run."""
LOADED_SHARE = 0.2
"""From this share of the cores' time that others used, figures in seconds say little."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure beside what it should be. `met` is None where there is no target."""

    what: str
    target: str
    found: str
    cpu: str
    """The same in CPU seconds, for figures of speed."""
    met: bool | None
    bound: str


@dataclass(frozen=True, slots=True)
class _Target:
    """One figure: `value` computes it (None: not measured), and it is met on the right side of `limit`."""

    what: str
    row: str
    text: str
    value: Callable[[Results], float | None]
    show: Callable[[float], str]
    limit: float | None
    at_least: bool = False
    timed: bool = True
    """Whether it is about seconds, so that something bounds it."""


def _times(value: float) -> str:
    return f"{value:.2f} times"


def _mib(value: float) -> str:
    return f"{value:,.0f} MiB"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _faster(what: str, row: str, limit: float | None) -> _Target:
    text = f"at least {limit:g} times restic's speed" if limit else "stated only"
    return _Target(what + _SPEED, row, text, lambda all_: all_.ratio(row, OURS, RIVAL), _times, limit, at_least=True)


def _stored(what: str, row: str, limit: float) -> _Target:
    text = f"at most {limit:g} times restic's bytes"
    return _Target(
        f"{what}: stored",
        row,
        text,
        lambda all_: _share(all_.stored(row, OURS), all_.stored(row, RIVAL)),
        _times,
        limit,
        timed=False,
    )


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _one_and_what_differs(results: Results, golden: str, changed: str) -> float | None:
    """Of a golden image and its clones. What differs counts as what it adds to the same machine: whole chunks."""
    one, differs = results.stored(golden, OURS), results.stored(changed, OURS)
    return one + CLONES * differs if one and differs else None


def _clones(results: Results) -> float | None:
    golden = results.stored("golden", OURS)
    added = [run.added.size_bytes for run in results.of("clones", OURS) if run.added]
    if golden is None or len(added) != CLONES:
        return None
    return _share(golden + sum(added), _one_and_what_differs(results, "golden", "golden-changed"))


def _clones_at_once(results: Results) -> float | None:
    expected = _one_and_what_differs(results, "at-once-golden", "at-once-changed")
    return _share(results.stored("at-once-folded", OURS), expected)


def _peak(results: Results) -> float | None:
    peaks = [run.usage.peak_bytes / MIB for run in results.runs if run.program == OURS]
    return max(peaks, default=None)


def _written(row: str) -> Callable[[Results], float | None]:
    def share(results: Results) -> float | None:
        runs = {each: [run.usage.disk_written_bytes for run in results.of(each, OURS)] for each in (row, "restore")}
        return _share(min(runs[row], default=None), min(runs["restore"], default=None))

    return share


def _beside_full_restore(row: str, fact: str) -> Callable[[Results], float | None]:
    return lambda results: _share(results.fact(row, OURS, fact), results.fact("restore", OURS, fact))


def _fact_share(row: str, part: str, whole: str) -> Callable[[Results], float | None]:
    return lambda results: _share(results.fact(row, OURS, part), results.fact(row, OURS, whole))


def _of_any_size(change: str) -> list[_Target]:
    """The same told changes on a large and a small disk: seconds, and CPU seconds for busy machines."""
    large, small = f"told-1TiB-{change}", f"told-6GiB-{change}"
    what = f"Changes that are told, {change}, 1 TiB beside 6 GiB"
    text = "at most 1.3 times as long"
    return [
        _Target(
            f"{what}: seconds",
            large,
            text,
            lambda all_: _share(all_.seconds(large, OURS), all_.seconds(small, OURS)),
            _times,
            1.3,
        ),
        _Target(
            f"{what}: CPU seconds",
            large,
            text,
            lambda all_: _share(all_.cpu_seconds(large, OURS), all_.cpu_seconds(small, OURS)),
            _times,
            1.3,
            timed=False,
        ),
    ]


_TARGETS = [
    _faster("Full backup", "full", 5),
    _stored("Full backup", "full", 1.05),
    _faster("Incremental by scan, scattered", "incremental", 7),
    _stored("Incremental by scan, scattered", "incremental", 0.5),
    _faster("Incremental by scan, in runs", "runs", None),
    _faster("Nothing changed, by scan", "unchanged", 5),
    _faster("Restore", "restore", 2.5),
    _Target(
        "Delta restore at 1 %: seconds",
        "delta",
        "at most 1.1 times a scan of the same disk, unchanged",
        lambda all_: _share(all_.seconds("delta", OURS), all_.seconds("delta", SCAN)),
        _times,
        1.1,
    ),
    _Target(
        "Delta restore at 1 %: written by its own account",
        "delta",
        "at most 2 % of a full restore's",
        _beside_full_restore("delta", "bytesWritten"),
        _percent,
        0.02,
        timed=False,
    ),
    _Target(
        "Delta restore at 1 %: fetched from the store",
        "delta",
        "at most 2 % of a full restore's",
        _beside_full_restore("delta", "bytesFetched"),
        _percent,
        0.02,
        timed=False,
    ),
    _Target(
        "Delta restore at 1 %: disk writes",
        "delta",
        "at most 2 % of a full restore's",
        _written("delta"),
        _percent,
        0.02,
        timed=False,
    ),
    *_of_any_size("scattered"),
    *_of_any_size("runs"),
    _Target(
        "Delta restore, told where 1 % differs: speed of a full one",
        RESTORE_DELTA,
        "at least 10 times",
        lambda all_: _share(all_.seconds(RESTORE, OURS), all_.seconds(RESTORE_DELTA, OURS)),
        _times,
        10,
        at_least=True,
    ),
    _Target(
        "Block device, cold",
        "device-cold",
        "at most 1.2 times the seconds of dd",
        lambda all_: _share(all_.seconds("device-cold", OURS), all_.seconds("device-cold", "dd")),
        _times,
        1.2,
    ),
    _faster("Block device, warm, beside restic --stdin", "device-warm", None),
    _Target(
        "50 clones: stored", "clones", "at most 1.05 times one and what differs", _clones, _times, 1.05, timed=False
    ),
    _Target(
        "50 clones at once: stored after maintenance",
        "at-once-folded",
        "at most 1.05 times one and what differs",
        _clones_at_once,
        _times,
        1.05,
        timed=False,
    ),
    _Target(
        "Map of 1 TiB, 1 % changed in runs of 64 MiB",
        "map-1TiB",
        "at most 2 % of the map written",
        _fact_share("map-1TiB", "written_in_runs_bytes", "map_bytes"),
        _percent,
        0.02,
        timed=False,
    ),
    _Target(
        "Map of 1 TiB, 1 % changed evenly",
        "map-1TiB",
        "map at most 2 % of the data written",
        _fact_share("map-1TiB", "written_scattered_bytes", "data_scattered_bytes"),
        _percent,
        0.02,
        timed=False,
    ),
    _Target("Memory, all rows", "", f"under {_MEMORY_MIB} MiB resident", _peak, _mib, _MEMORY_MIB, timed=False),
]


def verdicts(results: Results) -> list[Verdict]:
    """The figures that this run has measured."""
    found = []
    for target in _TARGETS:
        value = target.value(results)
        if value is not None:
            met = None if target.limit is None else value >= target.limit if target.at_least else value <= target.limit
            runs = results.of(target.row, OURS)
            bound = bound_of(runs[-1], results) if target.timed and runs else ""
            cpu = results.cpu_ratio(target.row, OURS, RIVAL) if target.what.endswith(_SPEED) else None
            shown = _times(cpu) if cpu else ""
            found.append(Verdict(target.what, target.text, target.show(value), shown, met, bound))
    return found


def bound_of(run: Result, results: Results) -> str:
    """What kept the run from being faster, in one sentence from its own counters."""
    usage = run.usage
    if usage.others_share > LOADED_SHARE:
        return f"Other programs: they took {usage.others_share:.0%} of the cores meanwhile."
    capacity = usage.seconds * cores()
    client, server = usage.cpu_seconds / capacity, usage.server_cpu_seconds / capacity
    rate = (usage.disk_read_bytes + usage.disk_written_bytes) / usage.seconds / MIB
    shares = f"{client:.0%} of the cores' time by the program, {server:.0%} by the S3 server"
    if client + server + usage.others_share >= _BUSY:
        return f"The processor: {shares}."
    # Not what dd reads: through a loop device and the page cache it is slower than this disk.
    most = max(each.usage.disk_read_bytes / each.usage.seconds / MIB for each in [run, *results.runs])
    if run.usage.disk_read_bytes and rate >= _BUSY * most:
        return f"The disk: {rate:,.0f} MiB/s, and no run has read more than {most:,.0f} MiB/s."
    return f"No single resource: {shares}; the disk moved {rate:,.0f} MiB/s."
