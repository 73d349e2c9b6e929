"""TPM and EFI state: a folder of KubeVirt's, stored as an archive, and a folder again."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safehold.errors import IntegrityError, VolumeError
from safehold.reasons import Reason
from safehold.run import BackupRun, RestoreRun
from safehold.worker import machine_state
from safehold.worker.machine_state import pack_state, unpack_state

if TYPE_CHECKING:
    from tests.worker.conftest import Jobs

FILES = {"swtpm/1-2-3/tpm2/tpm2-00.permall": b"keys" * 500, "nvram/db_VARS.fd": b"boot order"}


def write(folder: Path, **more: bytes) -> Path:
    """KubeVirt's folder for VM db, with what belongs to this cluster only."""
    for name, content in {**FILES, "cbt/bitmaps.qcow2": b"bitmaps", "lost+found/1": b"", **more}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """What a folder holds."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive_of(tmp_path: Path, **members: bytes) -> Path:
    """An archive that somebody else made."""
    path = tmp_path / "made.tar"
    with tarfile.open(path, "w") as made:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return path


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    """Files and folders are the same, without QEMU's bitmaps; what was in the new folder is gone."""
    pack_state(write(tmp_path / "old"), tmp_path / "state.tar")
    unpack_state(tmp_path / "state.tar", write(tmp_path / "new", half=b"of an earlier attempt"))
    assert content(tmp_path / "new") == {**FILES, "lost+found/1": b""}


def test_the_variables_are_found_under_the_new_name(tmp_path: Path) -> None:
    """KubeVirt looks for EFI variables under the VM's name, and for TPM state under its firmware id."""
    pack_state(write(tmp_path / "old"), tmp_path / "state.tar")
    (tmp_path / "new").mkdir()
    unpack_state(tmp_path / "state.tar", tmp_path / "new", renamed=("db", "db-copy"))
    assert set(content(tmp_path / "new")) == {"swtpm/1-2-3/tpm2/tpm2-00.permall", "nvram/db-copy_VARS.fd"}


def test_the_same_state_is_the_same_archive(tmp_path: Path) -> None:
    """Times and owners of files do not count, so an unchanged state is stored once."""
    pack_state(write(tmp_path / "one"), tmp_path / "one.tar")
    pack_state(write(tmp_path / "other"), tmp_path / "other.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "other.tar").read_bytes()


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link in a tenant's volume would lead to the worker's own secrets."""
    secret = tmp_path / "repository.key"
    secret.write_text("the key")
    folder = write(tmp_path / "old")
    (folder / "nvram" / "linked").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    pack_state(folder, tmp_path / "state.tar")
    assert b"the key" not in (tmp_path / "state.tar").read_bytes()


def test_a_volume_full_of_other_things_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant's large volume must not fill the worker's node."""
    monkeypatch.setattr(machine_state, "STATE_LIMIT_BYTES", 1000)
    with pytest.raises(VolumeError, match="at most 1000 bytes"):
        pack_state(write(tmp_path / "old"), tmp_path / "state.tar")


@pytest.mark.parametrize("name", ["../outside", "nvram/../../outside", "/outside"])
def test_a_forged_archive_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    """Names in a point of a tenant's own repository are not believed."""
    folder = tmp_path / "new"
    folder.mkdir()
    with pytest.raises(IntegrityError, match="outside of its volume"):
        unpack_state(archive_of(tmp_path, **{name: b"x"}), folder)
    assert content(folder) == {}


def test_a_forged_link_is_refused(tmp_path: Path) -> None:
    """A link that is unpacked first would lead what comes after it out of the volume."""
    with tarfile.open(tmp_path / "made.tar", "w") as made:
        link = tarfile.TarInfo("nvram")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        made.addfile(link)
    (tmp_path / "new").mkdir()
    with pytest.raises(IntegrityError, match="no plain file"):
        unpack_state(tmp_path / "made.tar", tmp_path / "new")


def state_backup(jobs: Jobs, disk: Path, folder: Path) -> BackupRun:
    """A backup of a disk and of a state."""
    run = jobs.backup("run-1", root=disk, state=folder)
    return run.model_copy(update={"volumes": [run.volumes[0], run.volumes[1].model_copy(update={"role": "State"})]})


def test_a_worker_carries_the_state_beside_the_disks(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """From one volume's folder into another's, for a VM of another name."""
    done = jobs.run(state_backup(jobs, disk, write(tmp_path / "old")))
    assert (done.code, done.report.reason) == (0, Reason.SUCCEEDED)
    (tmp_path / "new").mkdir()
    asked: RestoreRun = jobs.restore("run-2", done.report.restore_point or "", state=tmp_path / "new")
    (volume,) = asked.volumes
    asked = asked.model_copy(update={"volumes": [volume.model_copy(update={"role": "State", "vm": "db-copy"})]})
    restored = jobs.run(asked)
    assert (restored.code, restored.report.reason) == (0, Reason.SUCCEEDED)
    assert content(tmp_path / "new")["nvram/db-copy_VARS.fd"] == FILES["nvram/db_VARS.fd"]


def test_a_state_that_is_no_folder_fails_the_backup(jobs: Jobs, disk: Path) -> None:
    """The VM would not start as before without it, so there is no point without it."""
    failed = jobs.run(state_backup(jobs, disk, disk))
    assert failed.code != 0
    assert failed.report.reason == Reason.VOLUME_ERROR
    assert "TPM and EFI state" in failed.report.message
