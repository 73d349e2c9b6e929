"""Files out of a restore point, read with libguestfs over NBD from an S3 server, beside the originals."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.files.conftest import Backup
from tests.files.disks import CROWD, ODD_NAMES, YEAR_2001

from safehold.engine import names
from safehold.engine.access.disk import PointDisk
from safehold.engine.geometry import MIB
from safehold.errors import GuestFileError, IntegrityError
from safehold.files.extraction import unpack, write_file
from safehold.files.file_systems import mount_all, mount_one
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
        ("closed", "1"): "crypto_LUKS",
        ("closed", "2"): "unknown",
        ("broken", "disk"): "unknown",
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
    (note,) = files.mount(None)
    assert note == "closed 1 (crypto_LUKS) is left out: it is encrypted by the guest, which alone can open it"
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
    with pytest.raises(GuestFileError, match=r"parts 1 \(xfs\), parts 2 \(ntfs\), .*vg/root \(ext4\)"):
        files.mount("3")


@pytest.mark.parametrize(
    ("volume", "partition", "sentence"),
    [
        ("closed", "1", r"closed 1 \(crypto_LUKS\) cannot be read: found it is encrypted by the guest, which alone"),
        ("closed", "2", r"closed 2 \(unknown\) cannot be read: found nothing is known of what it holds"),
        ("broken", "disk", r"broken disk \(unknown\) cannot be read: found nothing is known of what it holds"),
        (
            "closed",
            None,
            r"No file system is there that can be read: found closed 2 .* known .*, closed 1 .* encrypted",
        ),
        ("broken", None, r"No file system is there that can be read: found broken disk \(unknown\), of which nothing"),
        ("nothing", None, r"No file system is there that can be read: found empty disks"),
    ],
    ids=["encrypted", "unknown", "damaged", "closed disk", "damaged disk", "nothing"],
)
def test_what_cannot_be_opened_is_one_sentence(
    files: PointFiles, volume: str, partition: str | None, sentence: str
) -> None:
    """Encrypted by the guest, damaged, or of a kind that nobody knows: said so, whether it was named or looked for."""
    found = [each for each in files._file_systems() if each.volume == volume]
    with pytest.raises(GuestFileError, match=sentence):
        mount_one(files._fish, found, partition) if partition else mount_all(files._fish, found)


def test_a_large_folder_is_listed(files: PointFiles) -> None:
    """Ten thousand files in one folder, each once, with what is known of it."""
    files.mount("disk")
    entries = list(files.below(b"/crowd"))
    assert {entry.path for entry in entries} == {b"/crowd/%d" % number for number in range(CROWD)}
    assert (len(entries), {entry.modified for entry in entries}) == (CROWD, {YEAR_2001})


def test_a_link_to_a_folder_leads_to_the_guests(files: PointFiles, backup: Backup, tmp_path: Path) -> None:
    """An absolute link is the guest's, not the appliance's, where a folder is listed with all below, and got."""
    files.mount("disk")
    assert {entry.path for entry in files.below(b"/way", recursive=True)} == {
        b"/way/deep",
        b"/way/deep/empty",
        b"/way/large.bin",
        b"/way/same",
    }
    unpack(files.archive(b"/way"), tmp_path / "got")
    assert (tmp_path / "got/large.bin").read_bytes() == (backup.folder / "tree/tree/sub/large.bin").read_bytes()


def test_holes_stay_holes(files: PointFiles, backup: Backup, tmp_path: Path) -> None:
    """A sparse file has its length and its content, and takes no more room than it did."""
    files.mount("disk")
    assert write_file(files.read(b"/sparse"), tmp_path / "sparse") == 64 * MIB
    assert (tmp_path / "sparse").read_bytes() == (backup.folder / "tree/sparse").read_bytes()
    assert (tmp_path / "sparse").stat().st_blocks * 512 < MIB


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
