"""Files out of a restore point, read with libguestfs over NBD from an S3 server, beside the originals."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.files.conftest import Backup
from tests.files.disks import ODD_NAMES, YEAR_2001

from safehold.engine import names
from safehold.engine.access.disk import PointDisk
from safehold.engine.geometry import MIB
from safehold.errors import GuestFileError, IntegrityError
from safehold.files.extraction import unpack
from safehold.files.session import PointFiles

pytestmark = pytest.mark.timeout(900)
"""Without KVM, an appliance boots in 15 s, and in minutes where others use the processors."""


def test_file_systems_are_found(files: PointFiles) -> None:
    """A disk without partitions, partitions by number, logical volumes by group and name."""
    found = {(each.volume, each.partition): each for each in files.file_systems()}
    assert {place: each.type for place, each in found.items()} == {
        ("data", "disk"): "ext4",
        ("parts", "1"): "xfs",
        ("parts", "2"): "ntfs",
        (None, "vg/root"): "ext4",
    }
    data = found["data", "disk"]
    assert (data.label, data.size_bytes, len(data.uuid)) == ("data", 10 * 1024 * MIB, 36)


@pytest.mark.parametrize(
    ("partition", "folder"), [("1", b"/"), ("2", b"/"), ("vg/root", b"/home")], ids=["xfs", "ntfs", "lvm"]
)
def test_files_are_the_originals(files: PointFiles, backup: Backup, partition: str, folder: bytes) -> None:
    """Contents and sizes, out of every kind of file system."""
    assert files.mount(partition) == []
    listed = {entry.path.rpartition(b"/")[2]: entry for entry in files.below(folder)}
    for original in (backup.folder / "plain").iterdir():
        entry = listed[os.fsencode(original.name)]
        assert (entry.kind, entry.size_bytes) == ("File", original.stat().st_size)
        assert b"".join(files.read(entry.path)) == original.read_bytes()


def test_file_systems_are_where_the_guest_has_them(files: PointFiles) -> None:
    """Without a choice, the guest's own table of mounts says what lies where, over several disks."""
    assert files.mount(None) == []
    assert b"".join(files.read(b"/home/hello.txt")) == b"hello\n"
    assert b"".join(files.read(b"/srv/tree/hello.txt")) == b"hello\n"
    assert b"".join(files.read(b"etc//./debian_version")) == b"12.0\n"


def test_odd_names_are_listed_and_read(files: PointFiles, backup: Backup) -> None:
    """Names with line feeds, quotes, escape sequences and bytes that are no text, with all that is known of each."""
    files.mount("disk")
    entries = {entry.path: entry for entry in files.below(b"/tree", recursive=True)}
    tree = os.fsencode(backup.folder / "tree/tree")
    originals = {b"/tree" + os.fsencode(path)[len(tree) :] for path in (backup.folder / "tree/tree").rglob("*")}
    assert entries.keys() == originals
    for name in ODD_NAMES:
        entry = entries[b"/tree/" + name]
        assert (entry.kind, entry.size_bytes, entry.modified) == ("File", len(name), YEAR_2001)
        assert b"".join(files.read(entry.path)) == name
    assert entries[b"/tree/run"].mode == stat.S_IFREG | 0o4755
    kinds = {entries[b"/tree/" + name].kind for name in (b"sub", b"sub/deep")}
    assert kinds == {"Folder"}
    assert entries[b"/tree/pipe"].kind == "Other"
    assert {name: entries[b"/tree/" + name].target for name in (b"inside", b"out", b"up")} == {
        b"inside": b"sub/large.bin",
        b"out": b"/etc/passwd",
        b"up": b"../../../etc/passwd",
    }


def test_links_are_followed_within_the_guest_only(files: PointFiles) -> None:
    """A link leads to the guest's files; one to /etc/passwd never to those of the machine that reads."""
    files.mount("disk")
    assert files.entry(b"/tree/inside").kind == "File"
    assert files.entry(b"/tree/out").kind == "Link"
    for absent in (b"/tree/out", b"/tree/up"):
        with pytest.raises(GuestFileError, match="No such file"):
            b"".join(files.read(absent))
    files.mount("vg/root")
    assert files.entry(b"/etc/fstab").kind == "File"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (b"/nothing", "/nothing does not exist there"),
        (b"/tree/hello.txt/x", "Not a directory"),
        (b"/\x1b[2Jnothing", r"/\\x1b\[2Jnothing does not exist there"),
        (b"/tree/../tree", "is not a plain path"),
        (b"/" + b"x" * 9000, "too long"),
    ],
)
def test_a_path_that_is_not_there_is_told(files: PointFiles, path: bytes, sentence: str) -> None:
    """One sentence, in which the name is printed so that it does nothing; the appliance goes on."""
    files.mount("disk")
    with pytest.raises(GuestFileError, match=sentence):
        files.entry(path)
    assert files.entry(b"/tree").kind == "Folder"


def test_a_file_system_that_is_not_there_is_told(files: PointFiles) -> None:
    """Those that there are, are named."""
    with pytest.raises(GuestFileError, match=r"parts 1 \(xfs\), parts 2 \(ntfs\), vg/root \(ext4\)"):
        files.mount("3")


def test_a_folder_comes_with_all_that_is_in_it(files: PointFiles, backup: Backup, tmp_path: Path) -> None:
    """Contents, modes and times as on the disk; links that lead out and pipes are left out, and nothing else."""
    files.mount("disk")
    done = unpack(files.archive(b"/tree"), tmp_path / "got")
    original = backup.folder / "tree/tree"
    assert sorted(sentence.partition(":")[0] for sentence in done.left_out) == ["./out", "./pipe", "./up"]
    got = {path.relative_to(tmp_path / "got") for path in (tmp_path / "got").rglob("*")}
    left_out = {Path("out"), Path("pipe"), Path("up")}
    assert got == {path.relative_to(original) for path in original.rglob("*")} - left_out
    for name in got:
        ours, theirs = tmp_path / "got" / name, original / name
        assert int(ours.lstat().st_mtime) == YEAR_2001 or ours.is_symlink()
        assert stat.S_IMODE(ours.stat().st_mode) == stat.S_IMODE(theirs.stat().st_mode) & 0o777
        if ours.is_file():
            assert ours.read_bytes() == theirs.read_bytes()


def test_a_flipped_bit_is_an_error_that_names_the_chunk(files: PointFiles, backup: Backup) -> None:
    """No wrong byte comes out of a file whose chunk is damaged; other files are read as before."""
    image = backup.folder / "data"
    victim = (backup.folder / "tree/victim.bin").read_bytes()
    # Farther in than what is fetched ahead of time behind another file.
    slot = (_find(image, victim) + 12 * MIB) // (128 * 1024)
    files.mount("disk")
    with _damaged(backup, slot):
        with pytest.raises(IntegrityError, match=r"Chunk \d+ of the volume data, .* cannot be read: packs/") as caught:
            b"".join(files.read(b"/victim.bin"))
        assert abs(int(str(caught.value).split()[1]) - slot) < 8
        assert b"".join(files.read(b"/tree/hello.txt")) == b"hello\n"
    assert b"".join(files.read(b"/victim.bin")) == victim


def _find(image: Path, content: bytes) -> int:
    """Where a file's content begins on a disk, if it lies in one piece."""
    with image.open("rb") as disk:
        position = 0
        while True:
            position = os.lseek(disk.fileno(), position, os.SEEK_DATA)
            end = os.lseek(disk.fileno(), position, os.SEEK_HOLE)
            found = os.pread(disk.fileno(), end - position, position).find(content)
            if found >= 0:
                return position + found
            position = end


@contextmanager
def _damaged(backup: Backup, slot: int) -> Iterator[None]:
    """While one bit of the frame that holds a chunk of the volume `data` is another."""
    domain = backup.domain()
    with PointDisk(domain, backup.manifest, "data") as disk:
        (chunk_id,) = disk._map.ids(slot, 1)
    place = domain.index.locate([chunk_id])[chunk_id]
    name = names.pack(domain.keys.scope, place.pack.id)
    whole = backup.store.get(name)
    at = place.offset + place.stored_bytes // 2
    backup.store.put(name, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    yield
    backup.store.put(name, whole)
