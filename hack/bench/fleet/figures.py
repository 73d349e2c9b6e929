"""What was found, beside what design and users expect of it."""

from collections import Counter
from dataclasses import dataclass, field

from bench.fleet.requests import Request

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One row. `met` is None where nothing is to be reached."""

    what: str
    reach: str = ""
    found: str
    met: bool | None = None


@dataclass(slots=True)
class Figures:
    """All rows, and what a run's requests are made of."""

    rows: list[Figure] = field(default_factory=list)
    requests: Counter[Request] = field(default_factory=Counter)
    """Of the runs that were counted."""
    runs: int = 0
    others: dict[str, float] = field(default_factory=dict)
    """By stage: the share of all cores that other programs took."""

    def add(self, what: str, found: str, *, reach: str = "", met: bool | None = None) -> None:
        """Add a row."""
        self.rows.append(Figure(what=what, reach=reach, found=found, met=met))

    def note_others(self, stage: str, share: float) -> None:
        """Keep what other programs took of the cores in a stage, and show it."""
        self.others[stage] = share
        self.add(f"{stage}: other programs' share of the cores", f"{share:.0%}")

    def at_most(self, what: str, found: float, limit: float, unit: str) -> None:
        """Add a row that is met up to a limit."""
        self.add(what, f"{found:.1f} {unit}", reach=f"at most {limit:g} {unit}", met=found <= limit)
