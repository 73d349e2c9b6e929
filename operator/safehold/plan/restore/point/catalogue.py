"""What VMBackups tell of a VM's points, and where they leave gaps that only the bucket can fill.

A point's id has its number in the VM's series in one repository. A number that no VMBackup has is of a point that the
catalogue trimmed, that a person took out of it, or that was forgotten: only the bucket knows which.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from safehold.api import VMBackup
from safehold.api.restore_source import VerifiedChoice
from safehold.plan.restore.point.description import is_verified

_POINT_ID = re.compile(r"[0-9a-f]{16}-(?P<number>[0-9]{6})-[0-9a-f]{16}")


def best_of(points: Sequence[VMBackup], before: datetime | None, verified: VerifiedChoice | None) -> VMBackup | None:
    """The newest point that fits, out of one VM's, oldest first."""
    fitting = [found for found in points if _is_in_time(found, before)]
    if verified is not None:
        checked = [found for found in fitting if is_verified(found)]
        fitting = checked if checked or verified == "Require" else fitting
    return fitting[-1] if fitting else None


def find_gap(
    points: Sequence[VMBackup], best: VMBackup | None, before: datetime | None, verified: VerifiedChoice | None
) -> VMBackup | None:
    """A VMBackup whose target may hold a newer fitting point than `best` that the catalogue does not tell of."""
    nearest = best or points[0]
    series = [found for found in points if _place(found) == _place(nearest)]
    numbers = {number for found in series if (number := _number(found)) is not None}
    if len(numbers) != len(series):  # not ids of a repository's series
        return None
    later = [_number(found) or 0 for found in series if not _is_in_time(found, before)]
    end = min(later, default=max(numbers) + 1)
    settled = best is not None and (verified is None or is_verified(best))
    begin = (_number(best) or 0) + 1 if best is not None and settled else 1
    return None if set(range(begin, end)) <= numbers else nearest


def _is_in_time(backup: VMBackup, before: datetime | None) -> bool:
    captured = backup.status.capture_time
    return before is None or (captured is not None and captured <= before)


def _place(backup: VMBackup) -> tuple[str, str, str | None]:
    """The repository that holds a point."""
    reference, target = backup.spec.target_ref, backup.status.target
    return reference.kind, reference.name, target.repository_id if target else None


def _number(backup: VMBackup) -> int | None:
    match = _POINT_ID.fullmatch(backup.status.restore_point or "")
    return int(match["number"]) if match else None
