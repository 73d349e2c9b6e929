"""Go's durations: "5m0s", "1h30m", "90s", "1.5s", "300ms"."""

from __future__ import annotations

import re

_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]*\.?[0-9]+)([^0-9.]+)")


def parse_duration(text: str) -> float:
    """Seconds; ValueError in the words of Go's time.ParseDuration, which KubeVirt's webhook passes on."""
    unsigned = text.removeprefix("-").removeprefix("+")
    if unsigned == "0":
        return 0.0
    position, seconds = 0, 0.0
    while position < len(unsigned):
        part = _PART.match(unsigned, position)
        if not part:
            missing = re.fullmatch(r"[0-9.]+", unsigned[position:])
            problem = "missing unit in duration" if missing else "invalid duration"
            raise ValueError(f'time: {problem} "{text}"')
        if part[2] not in _UNIT_SECONDS:
            raise ValueError(f'time: unknown unit "{part[2]}" in duration "{text}"')
        seconds += float(part[1]) * _UNIT_SECONDS[part[2]]
        position = part.end()
    if not unsigned:
        raise ValueError(f'time: invalid duration "{text}"')
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """As Go prints a whole number of seconds: "5m0s", "45s", "1h0m0s"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
