"""Container logs in the CRI's format: one line each, `<time> <stream> F <text>`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_POLL_SECONDS = 0.1
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048
_TERMINATION_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a reader asks for: the last lines, lines from a time on, with times, at most so many bytes."""

    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


async def record(stream: asyncio.StreamReader, name: str, path: Path) -> None:
    """Writes a stream (stdout or stderr) to a log until it ends."""
    with path.open("a", buffering=1, encoding="utf-8", errors="replace") as log:
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial
            except asyncio.LimitOverrunError as overrun:
                line = await stream.readexactly(overrun.consumed)
            if not line:
                return
            text = line.decode(errors="replace").removesuffix("\n")
            log.write(
                f"{datetime.now(UTC).isoformat(timespec='microseconds').replace('+00:00', 'Z')} {name} F {text}\n"
            )


def selected(lines: Iterable[str], query: LogQuery) -> list[str]:
    """The lines of a log that a query lets through, in the form in which the reader gets them."""
    chosen = [line for line in lines if query.since is None or _time_of(line) >= query.since]
    if query.tail_lines is not None:
        chosen = chosen[len(chosen) - query.tail_lines :] if query.tail_lines < len(chosen) else chosen
    return [_shown(line, query) for line in chosen]


async def read(path: Path, query: LogQuery, *, ended: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """Yields the log's lines; with `ended`, follows the log until that event is set and everything is read."""
    left = query.limit_bytes
    with path.open(encoding="utf-8", errors="replace") as log:
        *lines, rest = log.read().split("\n")
        shown = selected(lines, query)
        while True:
            for line in shown:
                data = line.encode()[:left]
                left = None if left is None else left - len(data)
                if data:
                    yield data
            last = ended is None or ended.is_set()
            *lines, rest = (rest + log.read()).split("\n")
            shown = [_shown(line, query) for line in lines]
            if last and not shown:
                return
            if not shown:
                await asyncio.sleep(_POLL_SECONDS)


def termination_message(message_file: Path, log: Path, *, fall_back_to_log: bool) -> str:
    """What the container left in its termination log; else, if asked for, the end of its log."""
    message = message_file.read_bytes()[:_TERMINATION_MESSAGE_BYTES].decode(errors="replace")
    if message or not fall_back_to_log or not log.exists():
        return message
    lines = selected(log.read_text(encoding="utf-8").splitlines(), LogQuery(tail_lines=_FALLBACK_LINES))
    return "".join(lines)[-_FALLBACK_BYTES:]


def _shown(line: str, query: LogQuery) -> str:
    time, _, _, text = [*line.split(" ", 3), ""][:4]
    return f"{time} {text}\n" if query.timestamps else f"{text}\n"


def _time_of(line: str) -> datetime:
    return datetime.fromisoformat(line.split(" ", 1)[0])
