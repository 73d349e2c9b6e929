"""Memory limits: a memory cgroup per container where one can be made, else a watch over its processes."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")
_GROUP = "sandbox-kubelet"
_WATCH_SECONDS = 0.25
_REMOVE_ATTEMPTS, _REMOVE_SECONDS = 40, 0.05
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A cgroup whose limit the kernel enforces."""

    path: Path

    @property
    def out_of_memory(self) -> bool:
        """True if the kernel has killed a process of the group for its limit."""
        for name in ("memory.events", "memory.oom_control"):
            if (self.path / name).exists():
                found = re.search(r"^oom_kill (\d+)$", (self.path / name).read_text(), re.MULTILINE)
                return bool(found and int(found[1]))
        return False

    async def remove(self) -> None:
        """Removes the group. The kernel may need a moment to see that its last process has gone."""
        for _ in range(_REMOVE_ATTEMPTS):
            try:
                self.path.rmdir()
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                await asyncio.sleep(_REMOVE_SECONDS)
            else:
                return
        _log.warning("memory group %s is still in use and stays", self.path)


def create_group(name: str, limit_bytes: int) -> MemoryGroup | None:
    """A group with that limit, or None where cgroups cannot be written."""
    for base, limit_file in ((_V1, "memory.limit_in_bytes"), (_V2, "memory.max")):
        path = base / _GROUP / name
        try:
            path.mkdir(parents=True, exist_ok=True)
            if base is _V2:
                for folder in (base, base / _GROUP):
                    (folder / "cgroup.subtree_control").write_text("+memory")
            (path / limit_file).write_text(str(limit_bytes))
        except OSError:
            continue
        return MemoryGroup(path)
    return None


async def watch_memory(pid: int, limit_bytes: int, kill: Callable[[], None]) -> None:
    """Kills once the resident memory of the process and its descendants is over the limit; returns after that."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if resident_bytes(pid) > limit_bytes:
            kill()
            return


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all its descendants; 0 once it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return pages * _PAGE_BYTES + sum(resident_bytes(int(child)) for child in children)
