"""What every family of rows works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.disk import allocated_bytes
from bench.measure import Command, drop_caches, measure
from bench.programs.base import Program
from bench.programs.safehold import Safehold, figures
from bench.results import Result, Results
from bench.server import Server


@dataclass(slots=True, kw_only=True)
class Context:
    """The bench's parts: server, programs, the image, a folder for work, and what has been measured."""

    server: Server
    safehold: Safehold
    others: list[Program]
    image: Path
    folder: Path
    rounds: int
    wanted: frozenset[str]
    say: Callable[[str], None]
    results: Results = field(default_factory=Results)

    def take(self, row: str, name: str, command: Command, disk: Path, *, cold: bool = True) -> None:
        """Run a command that leaves nothing in a repository, and note it if its row is wanted."""
        if cold:
            drop_caches()
        usage = measure(command, self.server.pid)
        facts = figures(usage.output) if name == self.safehold.name else {}
        self.note(Result(row=row, program=name, usage=usage, data_bytes=allocated_bytes(disk), facts=facts))

    def take_backup(
        self, row: str, program: Program, disk: Path, *, vm: str = "vm", name: str = "", cold: bool = True
    ) -> None:
        """Run a backup, and note with its cost what it has added to the repository; as the program's, or by `name`."""
        before = program.footprint()
        if cold:
            drop_caches()
        usage = measure(program.backup(disk, vm), self.server.pid)
        added = program.footprint() - before
        allocated = allocated_bytes(disk)
        self.note(Result(row=row, program=name or program.name, usage=usage, data_bytes=allocated, added=added))

    def note(self, result: Result) -> None:
        """Keep a result of a row that is wanted, and tell it."""
        if result.row in self.wanted:
            self.results.runs.append(result)
            usage = result.usage
            self.say(
                f"{result.row:<22} {result.program:<9} {usage.seconds:8.2f} s {usage.cpu_seconds:8.2f} CPU-s"
                f" {usage.server_cpu_seconds:8.2f} server CPU-s {usage.peak_bytes >> 20:6} MiB"
            )
