"""Keeps what is gone when a test ends: the logs of containers, and the arguments that processes had."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.cluster.client import Cluster
from sandbox.cluster.errors import GoneError
from sandbox.cluster.kinds import POD


@dataclass(slots=True)
class Recorder:
    """Looks whenever a pod changes. A second link to a log keeps it when the node removes the pod's folder."""

    cluster: Cluster
    pods: Path
    """Where the node keeps its pods."""
    kept: Path
    """Where logs are kept."""
    arguments: set[str] = field(default_factory=set)
    """Command lines of this machine's processes."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Record until the end of the block."""
        self.kept.mkdir()
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            # A recorder that had ended early would have kept nothing since: that fails the session.
            with suppress(asyncio.CancelledError):
                await watching

    def logs(self) -> list[Path]:
        """The log of every container that was seen."""
        self._look()
        return sorted(self.kept.iterdir())

    async def _watch(self) -> None:
        while True:
            _, version = await self.cluster.list_with_version(POD)
            self._look()
            with suppress(GoneError):
                async for _ in self.cluster.watch(POD, resource_version=version):
                    self._look()

    def _look(self) -> None:
        self.arguments.update(_command_lines())
        # Unlike rglob, os.walk takes it that a pod's folder goes while it is looked at.
        for folder, _, names in os.walk(self.pods):
            for log in (Path(folder, name) for name in names if name.endswith(".log")):
                with suppress(FileExistsError, FileNotFoundError):
                    os.link(log, self.kept / "_".join(log.relative_to(self.pods).parts))


def _command_lines() -> set[str]:
    lines: set[str] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines
