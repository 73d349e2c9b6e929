"""Filesystem volumes that were made from a snapshot: completed, whatever a tenant had put beside the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.worker.conftest import Ended, Jobs

from safehold.reasons import Reason
from safehold.worker.cloned_folder import leave_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The clone's folder."""
    made = tmp_path / "clone"
    made.mkdir()
    return made


def older(disk: Path) -> bytes:
    """What the guest has made of the disk since."""
    content = bytearray(disk.read_bytes())
    content[5_000_000:5_000_026] = b"what the guest wrote since"
    return bytes(content)


def completed(jobs: Jobs, disk: Path, folder: Path) -> Ended:
    """Back the disk up, and complete the `disk.img` of the folder to that point."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    run = jobs.restore("run-2", point or "", root=folder / "disk.img")
    return jobs.run(run.model_copy(update={"volumes": [run.volumes[0].model_copy(update={"delta": True})]}))


@pytest.mark.parametrize(
    ("name", "length"), [("disk.img", 40_000_000), ("disk.img", 30_000_000), ("disk.img.partial", 50_000_000)]
)
def test_only_what_differs_is_fetched(jobs: Jobs, disk: Path, folder: Path, name: str, length: int) -> None:
    """Into the clone's disk, of whatever length, or into what an attempt that was interrupted has left of it."""
    (folder / name).write_bytes(older(disk).ljust(length, b"x")[:length])
    ended = completed(jobs, disk, folder)
    assert (ended.code, ended.report.reason) == (0, Reason.SUCCEEDED), ended.report.message
    assert (folder / "disk.img").read_bytes() == disk.read_bytes()
    assert ended.report.volumes[0].bytes_fetched < 2_500_000
    assert [path.name for path in folder.iterdir()] == ["disk.img"]


def nothing(folder: Path, outside: Path) -> None:
    """An empty file system."""


def a_link(folder: Path, outside: Path) -> None:
    """The disk is elsewhere."""
    (folder / "disk.img").symlink_to(outside)


def a_link_to_begin_with(folder: Path, outside: Path) -> None:
    """A link waits under the name that the worker writes to."""
    (folder / "disk.img.partial").symlink_to(outside)


def folders(folder: Path, outside: Path) -> None:
    """Both names are folders, with something in them."""
    for name in ("disk.img", "disk.img.partial"):
        (folder / name / "deeper").mkdir(parents=True)
        (folder / name / "deeper" / "out").symlink_to(outside)


def a_pipe(folder: Path, _: Path) -> None:
    """What would be waited for without end."""
    os.mkfifo(folder / "disk.img")


@pytest.mark.parametrize("lay", [nothing, a_link, a_link_to_begin_with, folders, a_pipe])
def test_what_is_no_disk_is_none(folder: Path, tmp_path: Path, lay: Callable[[Path, Path], None]) -> None:
    """What a tenant laid under the disk's names goes, and nothing that it leads to is touched."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"the worker's key")
    lay(folder, outside)
    (folder / "lost+found").mkdir()
    assert not leave_disk(folder / "disk.img")
    assert [path.name for path in folder.iterdir()] == ["lost+found"]
    assert outside.read_bytes() == b"the worker's key"


def test_a_link_is_not_written_through(jobs: Jobs, disk: Path, folder: Path, tmp_path: Path) -> None:
    """All is fetched into a file of the clone's own."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"the worker's key")
    a_link(folder, outside)
    ended = completed(jobs, disk, folder)
    assert (ended.code, ended.report.reason) == (0, Reason.SUCCEEDED), ended.report.message
    assert (folder / "disk.img").read_bytes() == disk.read_bytes()
    assert outside.read_bytes() == b"the worker's key"


def test_what_lay_beside_the_disk_is_not_handed_over(jobs: Jobs, disk: Path, folder: Path, tmp_path: Path) -> None:
    """The volume holds what one would that was fetched whole, also where its file system was full of other things."""
    (folder / "disk.img").write_bytes(older(disk))
    (folder / "disk.img.partial").symlink_to(tmp_path / "nowhere")
    (folder / "notes").mkdir()
    (folder / "notes" / "large").write_bytes(b"x" * 1_000_000)
    os.link(folder / "disk.img", folder / "another-name")
    ended = completed(jobs, disk, folder)
    assert (ended.code, ended.report.reason) == (0, Reason.SUCCEEDED), ended.report.message
    assert [path.name for path in folder.iterdir()] == ["disk.img"]
    assert (folder / "disk.img").read_bytes() == disk.read_bytes()
    assert ended.report.volumes[0].bytes_fetched < 2_500_000
