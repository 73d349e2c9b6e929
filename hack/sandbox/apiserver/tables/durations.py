"""Ages as people read them: 5s, 3m20s, 47h, 12d."""

from datetime import datetime, timedelta

from sandbox.apiserver.objects import parse_time

_UNKNOWN = "<unknown>"


def age(text: str | None, now: datetime) -> str:
    """The time since an RFC 3339 moment."""
    if not text:
        return _UNKNOWN
    try:
        return human_duration(now - parse_time(text))
    except ValueError:
        return "<invalid>"


def human_duration(span: timedelta) -> str:
    """Kubectl's short form of a duration: two units while it is young, one later."""
    seconds = int(span.total_seconds())
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
