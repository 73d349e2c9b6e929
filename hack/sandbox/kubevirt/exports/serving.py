"""The servers of all exports, by the export's uid."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.certificates import ServingFiles, serving_files
from sandbox.kubevirt.exports.server import ExportServer, Served


@dataclass(slots=True)
class ExportServers:
    """Starts and stops. Certificates lie in `folder` as long as their export lives.

    KubeVirt signs those of all exports with one authority; here every export has its own, and its links name it.
    """

    folder: Path
    _running: dict[str, ExportServer] = field(default_factory=dict)

    def files(self, uid: str, service: str, namespace: str) -> ServingFiles:
        """The certificate for the Service's name and for loopback, where the sandbox really serves."""
        return serving_files(self.folder / uid, service, [f"{service}.{namespace}.svc"])

    def base(self, uid: str) -> str | None:
        """The URL of an export's server, None while it has none."""
        server = self._running.get(uid)
        return server.base if server else None

    async def start(self, uid: str, served: Served, files: ServingFiles) -> None:
        """Serves from now on, if it does not do so already."""
        if uid in self._running:
            return
        server = ExportServer(served)
        await server.start(files)
        self._running[uid] = server

    async def stop(self, uid: str) -> None:
        """Ends the server of an export that is gone, if there is one."""
        if server := self._running.pop(uid, None):
            await server.stop()
            shutil.rmtree(self.folder / uid, ignore_errors=True)

    def uids(self) -> set[str]:
        """The exports that are being served."""
        return set(self._running)

    async def close(self) -> None:
        """Ends all servers; their exports go on with the next process."""
        for server in self._running.values():
            await server.stop()
        self._running.clear()
