"""How a restore that runs is shown: a table that lives in a terminal, or lines where nobody looks at one."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from safehold.api import VMRestore
from safehold.api.base import Progress
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.conditions import READY
from safehold.plan.summary import readable_bytes, readable_duration

_STEP_PERCENT = 10
"""Between two lines of the same phase."""


class View(Protocol):
    """Something that shows one state of a restore after the other."""

    def show(self, restore: VMRestore) -> None:
        """The state as it is now."""


class LiveTable:
    """One table in place of the last one."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, restore: VMRestore) -> None:
        """Draw it anew."""
        self._live.update(picture_of(restore), refresh=True)


class Lines:
    """A line for every phase, and for every tenth of the transfer."""

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._last: tuple[object, ...] = ()

    def show(self, restore: VMRestore) -> None:
        """Say it, if it is news."""
        percent = restore.status.progress.percent // _STEP_PERCENT if restore.status.progress else None
        news = (restore.status.phase, percent, None if percent is not None else _message(restore))
        if news == self._last:
            return
        self._last = news
        click.echo(json.dumps(_document(restore)) if self._as_json else line_of(restore))


@contextmanager
def view_of(output: str) -> Iterator[View]:
    """The view for this output: a table only for people at a terminal."""
    if output == "json" or not sys.stdout.isatty():
        yield Lines(as_json=output == "json")
        return
    with Live(console=Console(), auto_refresh=False) as live:
        yield LiveTable(live)


def line_of(restore: VMRestore) -> str:
    """Phase, progress and message in one line."""
    progress = restore.status.progress
    parts = [restore.status.phase or "Pending", _progress(progress) if progress else "", _message(restore)]
    return "  ".join(part for part in parts if part)


def state_of(restore: VMRestore) -> str:
    """Phase and message, as the end of a sentence."""
    return ": ".join(filter(None, (restore.status.phase or "Pending", _message(restore))))


def picture_of(restore: VMRestore) -> RenderableType:
    """Phase and message, then a row for every volume."""
    head = Text(f"{restore.metadata.namespace}/{restore.metadata.name}  {restore.status.phase or 'Pending'}", "bold")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("volume", "claim", "", "done"):
        table.add_column(column, justify="left", overflow="fold")
    for volume in restore.status.volumes:
        table.add_row(volume.name, volume.claim_name, _bar(volume), _volume(volume))
    return Group(head, Text(_message(restore)), table)


def _bar(volume: VolumeRestore) -> ProgressBar:
    if volume.bytes_restored is not None:
        return ProgressBar(total=1, completed=1, width=30)
    progress = volume.progress
    return ProgressBar(
        total=max(1, progress.bytes_total) if progress else 1,
        completed=progress.bytes_done if progress else 0,
        width=30,
    )


def _volume(volume: VolumeRestore) -> str:
    if volume.bytes_restored is not None:
        return f"{readable_bytes(volume.bytes_restored)}, {volume.step or 'restored'}"
    return _progress(volume.progress) if volume.progress else "waits"


def _progress(progress: Progress) -> str:
    left = "" if progress.eta_seconds is None else f", {readable_duration(progress.eta_seconds)} left"
    return f"{progress.percent}% of {readable_bytes(progress.bytes_total)}{left}"


def _message(restore: VMRestore) -> str:
    return next((found.message for found in restore.status.conditions if found.type == READY), "")


def _document(restore: VMRestore) -> dict[str, object]:
    status = restore.status
    return {
        "phase": status.phase,
        "message": _message(restore),
        "progress": status.progress.to_wire() if status.progress else None,
        "volumes": [
            {
                "name": volume.name,
                "progress": volume.progress.to_wire() if volume.progress else None,
                "step": volume.step,
            }
            for volume in status.volumes
        ],
    }
