"""The servers of all exports, by the export's uid."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sandbox.kubevirt.exports.certificates import ExportAuthority, ServerCertificate
from sandbox.kubevirt.exports.server import ExportServer, Served


@dataclass(slots=True)
class ExportServers:
    """Starts and stops; `scratch` is a folder for keys on their way into a TLS context."""

    scratch: Path
    authority: ExportAuthority = field(default_factory=lambda: ExportAuthority(datetime.now(UTC)))
    _running: dict[str, ExportServer] = field(default_factory=dict)

    def base(self, uid: str) -> str | None:
        """The URL of an export's server, None while it has none."""
        server = self._running.get(uid)
        return server.base if server else None

    async def start(self, uid: str, served: Served, certificate: ServerCertificate) -> None:
        """Serves from now on, if it does not do so already."""
        if uid in self._running:
            return
        server = ExportServer(served)
        await server.start(certificate, self.scratch)
        self._running[uid] = server

    async def stop(self, uid: str) -> None:
        """Ends a server, if there is one."""
        if server := self._running.pop(uid, None):
            await server.stop()

    def uids(self) -> set[str]:
        """The exports that are being served."""
        return set(self._running)

    async def close(self) -> None:
        """Ends all servers."""
        for uid in self.uids():
            await self.stop(uid)
