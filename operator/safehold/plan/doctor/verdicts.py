"""Verdicts: one line each on what Safehold needs of a cluster."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check found. `remedy` says what to do, and is empty where nothing is to be done."""

    check: str
    level: Level
    message: str
    remedy: str = ""


def is_well(verdicts: Iterable[Verdict]) -> bool:
    """Whether nothing failed; warnings are for people to weigh."""
    return all(verdict.level != "fail" for verdict in verdicts)
