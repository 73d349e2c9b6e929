"""How a run finds what changed of one volume: it asks who knows, decides what to believe, and reads accordingly."""

from dataclasses import dataclass

from safehold.engine.backup.parent import Parent
from safehold.engine.backup.passes import Findings, Keeper, Passes
from safehold.engine.backup.request import VolumeInput
from safehold.engine.changed_blocks.asking import ask
from safehold.engine.changed_blocks.port import ChangeSource, Engine
from safehold.engine.disks.volumes import ReadableDisk
from safehold.engine.geometry import Geometry
from safehold.engine.maps.tree import VolumeMap
from safehold.errors import ChangedBlocksError


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A volume's new map, and how it came about."""

    map: VolumeMap
    findings: Findings
    engine: Engine
    reason: str
    verified: bool = False


class VolumeRun:
    """One volume in one run."""

    def __init__(
        self, volume: VolumeInput, disk: ReadableDisk, *, keeper: Keeper, parent: Parent, geometry: Geometry
    ) -> None:
        self._volume = volume
        self._disk = disk
        self._keeper = keeper
        self._parent = parent
        self._geometry = geometry

    def find(self) -> Found:
        """Follow what is said to have changed; scan where nothing is said, or nothing that can be believed."""
        volume = self._volume
        if volume.changes is None:
            return self._scanned([volume.scan_reason])
        doubt = self._parent.doubt(volume.name, volume.changes.base, volume.source, self._disk.size_bytes)
        try:
            return self._followed(volume.changes, doubt)
        except ChangedBlocksError as problem:
            if not volume.may_scan:
                raise
            return self._scanned([doubt, str(problem)] if doubt else [str(problem)])

    def _scanned(self, why: list[str]) -> Found:
        passes = self._passes()
        if passes.has_previous:
            reasons = [*why, f"everything was read and compared with {self._parent.point}"]
        else:
            reasons = list(dict.fromkeys([*why, self._parent.lack, "everything was read"]))
        return Found(map=passes.scan(), findings=passes.findings, engine="Scan", reason="; ".join(reasons))

    def _followed(self, changes: ChangeSource, doubt: str | None) -> Found:
        passes = self._passes()
        answer = ask(
            changes,
            since_base=doubt is None,
            size_bytes=self._disk.size_bytes,
            chunk_bytes=self._geometry.chunk_bytes,
            stop=self._keeper.stop,
        )
        what = f"what changed since {self._parent.point}" if doubt is None else f"{doubt}; what is allocated"
        if not self._volume.verify:
            return Found(
                map=passes.follow(answer), findings=passes.findings, engine=changes.engine, reason=f"{what} was read"
            )
        volume_map = passes.verify(answer)
        return Found(
            map=volume_map,
            findings=passes.findings,
            engine=changes.engine,
            reason=f"{what} was asked for, and everything was read to verify it: {_verdict(passes.findings)}",
            verified=True,
        )

    def _passes(self) -> Passes:
        return Passes(self._keeper, self._disk, self._parent.map_of(self._volume.name), self._geometry)


def _verdict(findings: Findings) -> str:
    if findings.bytes_unannounced:
        return f"{findings.bytes_unannounced} bytes differ that were not named, and what was read is stored"
    return "nothing was left out"
