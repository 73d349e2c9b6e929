"""The last counters that a guest's ledgers acknowledged, as its writer port left them in a file on the host."""

import re
from pathlib import Path

_LINE = re.compile(rb"^([^ \n]+) ([0-9]+)\r?$", re.MULTILINE)
_TAIL_BYTES = 64 << 10


def acknowledged_counters(path: Path) -> dict[str, int]:
    """Disk serial → the highest counter acknowledged; a disk that has committed nothing yet, or was let go, is absent.

    Reads the file's end only: it grows by some 20 lines a second. Lines that are there in part are not counted.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL_BYTES))
            if size > _TAIL_BYTES:
                stream.readline()
            tail = stream.read()
    except FileNotFoundError:
        return {}
    whole = tail[: tail.rfind(b"\n") + 1]
    counters: dict[str, int] = {}
    for match in _LINE.finditer(whole):
        serial, counter = match[1].decode(), int(match[2])
        # A disk that is let go says 0; another one of its name begins anew.
        counters[serial] = max(counter, counters.get(serial, 0)) if counter else 0
    return {serial: counter for serial, counter in counters.items() if counter}


def all_acknowledged(path: Path) -> list[tuple[str, int]]:
    """(disk serial, counter) in the order in which the guest told them: what is later in it was committed later."""
    whole = path.read_bytes()
    return [(match[1].decode(), int(match[2])) for match in _LINE.finditer(whole[: whole.rfind(b"\n") + 1])]
