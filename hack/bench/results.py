"""What was measured: one result per run, and what is asked of several."""

from dataclasses import dataclass, field
from statistics import median

from bench.measure import Usage
from bench.server import Footprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run of a program in a row of the bench. `facts` are numbers that only this row has, by name and unit."""

    row: str
    program: str
    usage: Usage
    data_bytes: int
    """What is allocated of the disk in question, or all of a device: what CPU seconds per GiB refer to."""
    added: Footprint | None = None
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Results:
    """All runs so far, in their order."""

    runs: list[Result] = field(default_factory=list)

    def of(self, row: str, program: str) -> list[Result]:
        """The rounds of a program in a row; empty if it was not run."""
        return [run for run in self.runs if (run.row, run.program) == (row, program)]

    def seconds(self, row: str, program: str) -> float | None:
        """The median of the rounds."""
        return _median([run.usage.seconds for run in self.of(row, program)])

    def cpu_seconds(self, row: str, program: str) -> float | None:
        """The median of the rounds, the server's not counted."""
        return _median([run.usage.cpu_seconds for run in self.of(row, program)])

    def stored(self, row: str, program: str) -> float | None:
        """Bytes that a run added to its repository, median of the rounds."""
        return _median([run.added.size_bytes for run in self.of(row, program) if run.added])

    def fact(self, row: str, program: str, name: str) -> float | None:
        """A number of that row, median of the rounds."""
        return _median([run.facts[name] for run in self.of(row, program) if name in run.facts])

    def cpu_ratio(self, row: str, program: str, other: str) -> float | None:
        """How many times fewer CPU seconds `program` takes than `other`, the server's not counted."""
        ours, theirs = (self.cpu_seconds(row, each) for each in (program, other))
        return theirs / ours if ours and theirs else None

    def ratio(self, row: str, program: str, other: str) -> float | None:
        """How many times faster `program` is than `other`."""
        ours, theirs = self.seconds(row, program), self.seconds(row, other)
        return theirs / ours if ours and theirs else None


def _median(values: list[float]) -> float | None:
    return median(values) if values else None
