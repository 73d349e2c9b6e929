"""The life of one disk: a full backup, further ones as it changes, its way back; as a file and as a block device."""

import filecmp
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.disk import IN_RUNS, SCATTERED, Change, one_percent, sparse_copy
from bench.loop import loop_device
from bench.measure import BenchError, run
from bench.programs.base import DISK_NAME, Program, read_plainly
from bench.rows.context import Context

_SHORT_RUNS = 3
"""How often a round has what takes few seconds: what a disk gives changes from one to the next."""
SCAN = "scan"
"""In place of a program's name: our backup of the unchanged disk that a delta restore is then measured on."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A row: what happens to the disk before, and what each program then does with it."""

    row: str
    act: Callable[["_Round", Program], None]
    changes: list[Change] = field(default_factory=list)


@dataclass(slots=True)
class _Round:
    """One pass over all steps with fresh repositories."""

    context: Context
    programs: list[Program]
    disk: Path
    row: str = ""

    def back_up(self, program: Program) -> None:
        is_short = self.row == "unchanged" and program is self.context.safehold
        for _ in range(_SHORT_RUNS if is_short else 1):
            self.context.take_backup(self.row, program, self.disk)

    def restore(self, program: Program) -> None:
        folder = self.restored(program)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.context.take(self.row, program.name, program.restore(folder), self.disk)
        self._compare(program)

    def restore_delta(self, program: Program) -> None:
        """Over the disk that `restore` has left, after 1 % of what is in it has changed."""
        target = self.restored(program) / DISK_NAME
        if not program.restores_deltas:
            return
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            sparse_copy(self.disk, target)
        is_ours = program is self.context.safehold
        for _ in range(_SHORT_RUNS if is_ours else 1):
            if is_ours:
                self.context.take_backup(self.row, program, target, name=SCAN)
            one_percent(self.disk, seed=4).apply(target)
            self.context.take(self.row, program.name, program.restore(target.parent, delta=True), self.disk)
            self._compare(program)

    def back_up_device(self, program: Program) -> None:
        """Cold and warm, beside dd; borg has no way to read one that the others would be comparable with."""
        if program.name == "borg":
            return
        cold = self.row == "device-cold"
        is_ours = program is self.context.safehold
        with loop_device(self.disk) as device:
            if not cold:
                run(read_plainly(device))
            for _ in range(_SHORT_RUNS if cold and is_ours else 1):
                if is_ours:
                    self.context.take(self.row, "dd", read_plainly(device), device, cold=cold)
                self.context.take_backup(self.row, program, device, cold=cold)

    def restored(self, program: Program) -> Path:
        return self.context.folder / f"{program.name}.restored"

    def _compare(self, program: Program) -> None:
        filecmp.clear_cache()  # it goes by sizes and times, and those are restored too
        if not filecmp.cmp(self.disk, self.restored(program) / DISK_NAME, shallow=False):
            raise BenchError(f"{program.name} has restored another disk than it had backed up")


_STEPS = [
    _Step("full", _Round.back_up),
    _Step("unchanged", _Round.back_up),
    _Step("incremental", _Round.back_up, SCATTERED),
    _Step("runs", _Round.back_up, IN_RUNS),
    _Step("restore", _Round.restore),
    _Step("delta", _Round.restore_delta),
    _Step("device-cold", _Round.back_up_device),
    _Step("device-warm", _Round.back_up_device),
]
ROWS = [step.row for step in _STEPS]


def measure_history(context: Context) -> None:
    """All rounds. Each begins with the same disk and empty repositories; the programs' order alternates."""
    folder = context.folder / "history"
    folder.mkdir(exist_ok=True)
    for number in range(context.rounds):
        context.say(f"Round {number + 1} of {context.rounds}")
        # A landmark, not a rival: borg runs once.
        others = [other for other in context.others if other.name != "borg" or number == 0]
        programs: list[Program] = [context.safehold, *others]
        for program in programs:
            program.start(f"history-{number}")
        this = _Round(context, programs[:: -1 if number % 2 else 1], sparse_copy(context.image, folder / DISK_NAME))
        for step in _needed(context.wanted):
            this.row = step.row
            _carry_out(this, step)
    shutil.rmtree(folder)
    for program in [context.safehold, *context.others]:
        shutil.rmtree(context.folder / f"{program.name}.restored", ignore_errors=True)


def _needed(wanted: frozenset[str]) -> Iterator[_Step]:
    """The steps of a round; each other needs the first."""
    return (step for step in _STEPS if step.row in wanted or step.row == "full")


def _carry_out(this: _Round, step: _Step) -> None:
    for change in step.changes:
        change.apply(this.disk)
    if step.row == "unchanged":
        this.context.take(step.row, "dd", read_plainly(this.disk), this.disk)
    for program in this.programs:
        step.act(this, program)
