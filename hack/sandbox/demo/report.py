"""What the demo prints: progress lines while it runs, and the table at its end."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_COLUMNS = ("VM", "point", "engine", "reached", "frozen ms", "total", "read", "changed", "uploaded", "stored", "s")
_TABLE_WIDTH = 160


def _console() -> Console:
    # Where no window sets a width, the table gets the one that it needs.
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _TABLE_WIDTH)


@dataclass(slots=True)
class Report:
    """Prints to one console; seconds count from the report's making."""

    console: Console = field(default_factory=_console)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.monotonic() - self.started

    def chapter(self, title: str) -> None:
        """A step of the story begins."""
        self.console.print(f"\n[bold]{self._clock()} {title}[/bold]")

    def line(self, text: str) -> None:
        """Something happened that the reader wants to know."""
        self.console.print(f"{self._clock()}   {text}", markup=False)

    def command(self, text: str) -> None:
        """Something to copy into a shell, on a line of its own."""
        self.console.print(f"  {text}", markup=False)

    def table(self, backups: list[dict[str, Any]]) -> None:
        """One row per restore point, in the order in which they were captured."""
        table = Table(title="Restore points", title_justify="left", box=SIMPLE_HEAD)
        for column in _COLUMNS:
            table.add_column(column, justify="left" if column in _COLUMNS[:4] else "right", overflow="fold")
        for backup in backups:
            table.add_row(*_row(backup))
        self.console.print()
        self.console.print(table)

    def _clock(self) -> str:
        return f"{self.seconds:6.1f} s"


def _row(backup: dict[str, Any]) -> list[str]:
    status = backup["status"]
    consistency = status.get("consistency", {})
    sizes = [megabytes(status.get(f"bytes{word}")) for word in ("Total", "Read", "Changed", "Uploaded", "Stored")]
    return [
        backup["spec"]["vm"]["name"],
        status.get("restorePoint", "-"),
        status.get("engine", "-"),
        consistency.get("reached", "-"),
        str(consistency.get("frozenMillis", "-")),
        *sizes,
        f"{sum(volume.get('seconds', 0.0) for volume in status.get('volumes', [])):.1f}",
    ]


def megabytes(count: int | None) -> str:
    """Bytes as MiB with one decimal; a dash for an unknown number."""
    return "-" if count is None else f"{count / 2**20:,.1f} MiB"
