"""Durations as people write them in YAML: `60s`, `1h30m`, `7d`."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from safehold.api.base import rules

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

Duration = Annotated[str, Field(max_length=32, pattern=r"^([0-9]{1,6}[dhms])+$")]
"""Days, hours, minutes and seconds in one word."""


def parse_duration(text: str) -> timedelta:
    """The time that a `Duration` means."""
    parts = re.findall(r"([0-9]+)([dhms])", text)
    return timedelta(seconds=sum(int(count) * _SECONDS[unit] for count, unit in parts))


def duration_between(field: str, least: str, most: str) -> dict[str, Any]:
    """The CEL rule that bounds a `Duration`, as schema extension; CEL knows no days."""
    within = f"duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
    sentence = f"{field} must be between {least} and {most}, in hours, minutes and seconds, such as 2h"
    return rules((f"self.matches('^([0-9]+[hms])+$') && {within}", sentence))
