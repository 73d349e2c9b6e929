"""How far each volume of a restore is, by what the worker says about the one that it is at."""

from collections.abc import Iterable

from safehold.api.base import Progress
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.summary import bytes_per_second
from safehold.report import Progress as Told


def with_progress(records: Iterable[VolumeRestore], told: Told) -> list[VolumeRestore]:
    """The records, each with its own progress. The worker fills them in their order, so that an end adds up.

    What it says of volumes that it was not asked for changes nothing.
    """
    records = list(records)
    names = [record.name for record in records]
    if told.volume is None or told.volume.name not in names:
        return records
    place = names.index(told.volume.name)
    speed = bytes_per_second(told.bytes_done, told.bytes_total, told.seconds)
    left = 0
    found: list[VolumeRestore] = []
    for number, record in enumerate(records):
        total = _total(record)
        done = total if number < place else 0
        if number == place:
            total = told.volume.bytes_total
            done = min(told.volume.bytes_done, total)
        left += total - done
        found.append(record.model_copy(update={"progress": _progress(done, total, left, speed)}))
    return found


def _total(record: VolumeRestore) -> int:
    """What is known of a volume that the worker does not speak of now: what it said, else the claim's size."""
    return record.progress.bytes_total if record.progress else record.capacity_bytes


def _progress(done: int, total: int, left: int, speed: float | None) -> Progress:
    percent = done * 100 // total if total else 100
    ending = 0 if done >= total else round(left / speed) if speed else None
    return Progress(bytes_done=done, bytes_total=total, percent=percent, eta_seconds=ending)
