"""What a worker reads of volumes that tenants could write to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safehold.errors import VolumeError
from safehold.reasons import Reason
from safehold.worker.tenant_files import readable_volumes

if TYPE_CHECKING:
    from tests.worker.conftest import Jobs


def test_a_link_to_the_workers_own_key_is_not_followed(jobs: Jobs, tmp_path: Path) -> None:
    """Who could put the repository's key into a restore point of his own would have all points of the repository."""
    secret = tmp_path / "repository.key"
    secret.write_text("the key")
    disguised = tmp_path / "disk.img"
    disguised.symlink_to(secret)
    refused = jobs.run(jobs.backup("run-1", root=disguised))
    assert refused.code != 0
    assert refused.report.reason == Reason.VOLUME_ERROR
    assert "a symbolic link" in refused.report.message
    assert refused.report.restore_point is None


@pytest.mark.parametrize(("make", "what"), [(os.mkfifo, "a special file"), (os.mkdir, "a folder")])
def test_only_plain_files_are_disks(jobs: Jobs, tmp_path: Path, make: object, what: str) -> None:
    """A pipe would hold the worker up for ever."""
    assert callable(make)
    make(tmp_path / "disk.img")
    volumes = jobs.backup("run-1", root=tmp_path / "disk.img").volumes
    with pytest.raises(VolumeError, match=f"root cannot be read: expected a plain file disk.img, found {what}"):
        readable_volumes(volumes)


@pytest.mark.parametrize("there", [True, False])
def test_a_dump_that_is_not_there_leaves_the_disks(jobs: Jobs, disk: Path, tmp_path: Path, there: bool) -> None:
    """The point holds the dump where its file is, and the disks in any case; the report says which."""
    dump = tmp_path / "db.memory.dump"
    if there:
        dump.write_bytes(b"\x7fELF" + os.urandom(5000))
    run = jobs.backup("run-1", root=disk, memory=dump)
    volumes = [run.volumes[0], run.volumes[1].model_copy(update={"role": "MemoryDump"})]
    done = jobs.run(run.model_copy(update={"volumes": volumes}))
    assert (done.code, done.report.reason) == (0, Reason.SUCCEEDED)
    assert [volume.name for volume in done.report.volumes] == (["root", "memory"] if there else ["root"])
