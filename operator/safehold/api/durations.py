"""Durations as people write them in YAML: `60s`, `1h30m`, `7d`."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import Field

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

Duration = Annotated[str, Field(max_length=32, pattern=r"^([0-9]{1,6}[dhms])+$")]
"""Days, hours, minutes and seconds in one word."""


def parse_duration(text: str) -> timedelta:
    """The time that a `Duration` means."""
    parts = re.findall(r"([0-9]+)([dhms])", text)
    return timedelta(seconds=sum(int(count) * _SECONDS[unit] for count, unit in parts))
