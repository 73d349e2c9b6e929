"""A program that runs beside this one: started with a log, waited for, and ended with its starter."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LOG_TAIL_LINES = 20
_POLL_SECONDS = 0.1


class ProgramError(Exception):
    """A program did not start or has ended; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class Program:
    """A running program. It must not outlive this one, however that ends."""

    name: str
    process: Process
    log: Path

    @classmethod
    async def start(cls, name: str, command: Sequence[str], log: Path, stdout: int | None = None) -> Program:
        """Starts a program in a session of its own, which keeps Ctrl-C away from it; its output goes to the log.

        With `stdout` (a PIPE) only its standard error does.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        guard = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *guard,
                *command,
                stdin=DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=output,
                start_new_session=True,
            )
        return cls(name, process, log)

    async def wait_until(self, ready: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Returns once it is ready; raises ProgramError if it ends before, or takes longer."""
        try:
            async with asyncio.timeout(seconds):
                while not await ready():
                    if self.process.returncode is not None:
                        raise self.error(f"has ended with exit code {self.process.returncode}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise self.error(f"was not ready after {seconds:.0f} s") from error

    async def stop(self, seconds: float) -> None:
        """Asks it to end, and ends it if it takes longer than so many seconds."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def error(self, what: str) -> ProgramError:
        """What went wrong, with the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if self.log.exists() else []
        return ProgramError("\n".join([f"{self.name} {what}; see {self.log}:", *lines]))


async def ended(programs: Iterable[Program]) -> None:
    """Returns never: raises ProgramError as soon as one of them ends by itself."""
    waiting = {asyncio.create_task(program.process.wait()): program for program in programs}
    try:
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
    raise waiting[done.pop()].error("has ended")
