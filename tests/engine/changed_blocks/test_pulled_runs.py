"""Runs over disks that are pulled from KubeVirt: what is read, what is kept, and that no bad answer becomes a hole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.engine.changed_blocks.exports import Reply, ToldServer, page, told

from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.changed_blocks.kubevirt import PulledChanges
from safehold.engine.points.manifest import BaseIdentity, Manifest
from safehold.errors import ChangedBlocksError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

CHUNK = 512
IDENTITY = BaseIdentity(pvc_uid="pvc", volume_handle="handle", driver="driver", capacity_bytes=1 << 20)
DATA, DIRTY, ZERO, DIRTY_ZERO = range(4)


@dataclass
class PulledVM:
    """A VM whose only disk KubeVirt serves."""

    laboratory: Laboratory
    folder: Path
    server: ToldServer | None = None

    def back_up(
        self, content: bytes, *extents: tuple[int, int, int], checkpoint: str, base: str | None = None, **more: bool
    ) -> Manifest:
        """One run; the map has these extents of (offset, length, type)."""
        self.server = ToldServer(
            map=lambda _: page(*extents), data=lambda offset, length: Reply(content[offset : offset + length])
        )
        with told(self.server, self.folder) as endpoint:
            changes = PulledChanges(endpoint, base, patience_seconds=0.3)
            volume = VolumeInput(
                name="root",
                remote=changes.disk,
                changes=changes,
                source=IDENTITY,
                checkpoint=checkpoint,
                verify=more.get("verify", False),
                may_scan=more.get("may_scan", True),
            )
            self.laboratory.runs += 1
            run_id = f"run-{self.laboratory.runs}"
            request = BackupRequest(run_id=run_id, owner=self.laboratory.owner(), volumes=[volume])
            return back_up(self.laboratory.domain(), request, stop=threading.Event())


@pytest.fixture
def vm(laboratory: Laboratory, tmp_path: Path) -> PulledVM:
    """A new VM in a new laboratory."""
    return PulledVM(laboratory, tmp_path)


@pytest.fixture
def before(noise: Callable[[int], bytes]) -> bytes:
    """A disk of 40 chunks, the middle ones zeros."""
    return noise(16 * CHUNK) + bytes(8 * CHUNK) + noise(16 * CHUNK)


FULL = ((0, 16 * CHUNK, DATA), (16 * CHUNK, 8 * CHUNK, ZERO), (24 * CHUNK, 16 * CHUNK, DATA))


def test_full_then_changes(vm: PulledVM, before: bytes) -> None:
    """The first run reads what is allocated, the second what is dirty, discarded ranges included; both are right."""
    first = vm.back_up(before, *FULL, checkpoint="one")
    assert first.volumes[0].engine == "KubeVirt"
    assert first.volumes[0].statistics.bytes_read == 32 * CHUNK
    assert vm.laboratory.restored(first) == before
    after = b"x" * CHUNK + before[CHUNK : 30 * CHUNK] + bytes(CHUNK) + before[31 * CHUNK :]
    delta = (
        (0, 1, DIRTY),
        (1, 30 * CHUNK - 1, DATA),
        (30 * CHUNK, CHUNK, DIRTY_ZERO),
        (31 * CHUNK, 9 * CHUNK, DATA),
    )
    second = vm.back_up(after, *delta, checkpoint="two", base="one")
    assert (second.volumes[0].engine, second.volumes[0].checkpoint) == ("KubeVirt", "two")
    assert second.volumes[0].statistics.bytes_read == 2 * CHUNK
    assert vm.laboratory.restored(second) == after


def test_delta_on_a_checkpoint_of_no_point_is_not_built_on(vm: PulledVM, before: bytes) -> None:
    """KubeVirt says nothing changed since a backup that nobody read: everything is read all the same."""
    vm.back_up(before, *FULL, checkpoint="one")
    after = before[: 5 * CHUNK] + b"y" * CHUNK + before[6 * CHUNK :]
    unchanged = ((0, len(after), DATA),)
    point = vm.back_up(after, *unchanged, checkpoint="three", base="two")
    assert point.volumes[0].engine == "KubeVirt"
    assert point.volumes[0].statistics.bytes_read == len(after)
    assert vm.laboratory.restored(point) == after


BAD_DELTAS = {
    "truncated": ((0, 8 * CHUNK, DIRTY),),
    "overlapping": ((0, 8 * CHUNK, DIRTY), (CHUNK, 39 * CHUNK, DATA)),
    "past the end": ((0, 41 * CHUNK, DATA),),
    "empty": (),
}


@pytest.mark.parametrize("delta", BAD_DELTAS.values(), ids=BAD_DELTAS)
def test_bad_map_leads_to_a_scan_through_the_same_backup(
    vm: PulledVM, before: bytes, delta: tuple[tuple[int, int, int], ...]
) -> None:
    """The backup completes with all that changed, and says why it was scanned; where no scan is allowed, it fails."""
    vm.back_up(before, *FULL, checkpoint="one")
    after = before[: 39 * CHUNK] + b"z" * CHUNK
    point = vm.back_up(after, *delta, checkpoint="two", base="one")
    assert point.volumes[0].engine == "Scan"
    assert "map of the disk is malformed" in point.volumes[0].engine_reason
    assert vm.laboratory.restored(point) == after
    with pytest.raises(ChangedBlocksError):
        vm.back_up(after, *delta, checkpoint="three", base="two", may_scan=False)


def test_verification_finds_and_repairs_what_was_kept_silent(vm: PulledVM, before: bytes) -> None:
    """The whole disk is read through the same backup; what it says wins over what the map says."""
    vm.back_up(before, *FULL, checkpoint="one")
    after = before[: 3 * CHUNK] + b"w" * CHUNK + before[4 * CHUNK :]
    point = vm.back_up(after, (0, len(after), DATA), checkpoint="two", base="one", verify=True)
    assert point.volumes[0].verified
    assert point.volumes[0].mismatched_bytes == CHUNK
    assert vm.laboratory.restored(point) == after
