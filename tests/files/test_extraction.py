"""Archives of hostile disks: what is made of them, and that nothing happens outside."""

import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from safehold.errors import GuestFileError, IntegrityError, UsageError
from safehold.files.extraction import unpack, write_file


def archive(*members: tarfile.TarInfo, content: bytes = b"content") -> bytes:
    """A tar archive; files hold `content`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as made:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            made.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, *, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """One thing in an archive, of 2001."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = kind, target, mode, 1_000_000_000
    return info


def in_pieces(data: bytes, size: int = 700) -> Iterator[bytes]:
    """The archive as it comes: not in blocks of tar's."""
    return iter([data[at : at + size] for at in range(0, len(data), size)])


def everything_below(folder: Path) -> set[str]:
    """Relative names of all there is."""
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_folder_keeps_modes_and_times(tmp_path: Path) -> None:
    """Files, folders and links come as they were; a set-user-id bit does not."""
    data = archive(
        member("./", tarfile.DIRTYPE, mode=0o750),
        member("./sub", tarfile.DIRTYPE, mode=0o500),
        member("./sub/run", mode=0o4755),
        member("./sub/same", tarfile.LNKTYPE, target="./sub/run"),
        member("./sub/up", tarfile.SYMTYPE, target="../other"),
        member("./two\nlines\x1b[31m"),
        member("./caf\udce9"),
    )
    done = unpack(in_pieces(data), tmp_path / "out")
    out = tmp_path / "out"
    assert everything_below(out) == {"sub", "sub/run", "sub/same", "sub/up", "two\nlines\x1b[31m", "caf\udce9"}
    assert (done.files, done.left_out) == (4, [])
    assert [stat.S_IMODE((out / each).stat().st_mode) for each in (".", "sub", "sub/run")] == [0o750, 0o500, 0o755]
    assert (out / "sub/run").read_bytes() == b"content"
    assert (out / "sub/same").samefile(out / "sub/run")
    assert (out / "sub/up").readlink() == Path("../other")
    assert {int((out / each).stat().st_mtime) for each in (".", "sub", "sub/run")} == {1_000_000_000}
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param([member("../outside")], id="a name that goes up"),
        pytest.param([member("sub/../../outside")], id="a name that goes up later"),
        pytest.param([member("/tmp/outside")], id="an absolute name"),  # noqa: S108 - nothing may be made there
        pytest.param([member("l", tarfile.SYMTYPE, target="/etc/passwd")], id="a link to an absolute name"),
        pytest.param([member("l", tarfile.SYMTYPE, target="../outside")], id="a link that goes up"),
        pytest.param([member("l", tarfile.SYMTYPE, target="a/../../outside")], id="a link that goes down and up"),
        pytest.param([member("l", tarfile.LNKTYPE, target="../outside")], id="another name of a file outside"),
        pytest.param([member("l", tarfile.LNKTYPE, target="/etc/passwd")], id="another name of a file of ours"),
        pytest.param([member("disk", tarfile.BLKTYPE)], id="a device"),
        pytest.param([member("pipe", tarfile.FIFOTYPE)], id="a pipe"),
    ],
)
def test_what_leads_out_is_left_out_and_told(tmp_path: Path, hostile: list[tarfile.TarInfo]) -> None:
    """The rest comes, nothing outside is made or changed, and the sentence names what was left out."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"ours")
    folder = tmp_path / "place"
    folder.mkdir()
    done = unpack(
        in_pieces(archive(member("sub", tarfile.DIRTYPE, mode=0o755), *hostile, member("sub/good"))), folder / "out"
    )
    assert everything_below(folder) == {"out", "out/sub", "out/sub/good"}
    assert len(done.left_out) == 1
    assert done.left_out[0].startswith(hostile[0].name)
    assert outside.read_bytes() == b"ours"
    assert outside.stat().st_nlink == 1


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A link, and then a file whose name leads through it: links are made last, so there is nothing to follow."""
    (tmp_path / "outside").mkdir()
    data = archive(
        member("d", tarfile.SYMTYPE, target="../outside"),
        member("d", tarfile.DIRTYPE, mode=0o755),
        member("d/file"),
    )
    done = unpack(in_pieces(data), tmp_path / "out")
    assert everything_below(tmp_path / "out") == {"d", "d/file"}
    assert not everything_below(tmp_path / "outside")
    assert len(done.left_out) == 1


def test_a_chain_of_links_does_not_lead_out(tmp_path: Path) -> None:
    """Links that go up behind another link are left out, even where their text counts as inside."""
    data = archive(
        member("x", tarfile.DIRTYPE, mode=0o755),
        member("x/y", tarfile.SYMTYPE, target="."),
        member("z", tarfile.SYMTYPE, target="x/y/y/y/../../../../outside"),
    )
    done = unpack(in_pieces(data), tmp_path / "out")
    assert everything_below(tmp_path / "out") == {"x", "x/y"}
    assert [sentence.partition(":")[0] for sentence in done.left_out] == ["z"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """What exists under the name, even a link that leads nowhere, stays as it is."""
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(UsageError, match="exists already"):
        unpack(in_pieces(archive(member("file"))), tmp_path / "out")
    assert everything_below(tmp_path) == {"out"}


def test_a_cut_archive_leaves_nothing(tmp_path: Path) -> None:
    """A folder has its name only when it is whole; what the sender says of the cut is what is told."""

    def cut() -> Iterator[bytes]:
        yield archive(member("file"), content=b"c" * 5000)[:3000]
        raise IntegrityError("Chunk 7 cannot be read")

    with pytest.raises(IntegrityError, match="Chunk 7"):
        unpack(cut(), tmp_path / "out")
    with pytest.raises(GuestFileError, match="no whole archive"):
        unpack(in_pieces(archive(member("file"), content=b"c" * 5000)[:3000]), tmp_path / "out")
    with pytest.raises(IntegrityError, match="Chunk 7"):
        write_file(cut(), tmp_path / "file")
    assert everything_below(tmp_path) == set()


def test_zeros_take_no_room(tmp_path: Path) -> None:
    """Alone, in a folder and at the end of a file, they are holes; length and content are as they were."""
    content = b"begin" + bytes(5 << 20)
    unpack(in_pieces(archive(member("file"), content=content), 1 << 16), tmp_path / "out")
    write_file(in_pieces(content, 1 << 16), tmp_path / "file")
    for path in (tmp_path / "out/file", tmp_path / "file"):
        assert path.read_bytes() == content
        assert path.stat().st_blocks * 512 < 3 << 20


@pytest.mark.parametrize("modified", [-(10**15), 0, 10**15])
def test_times_that_no_system_has_do_no_harm(tmp_path: Path, modified: int) -> None:
    """A damaged or hostile time is cut to one that can be kept."""
    assert write_file(iter([b"a", b"b"]), tmp_path / "file", mode=0o100600, modified=modified) == 2
    assert (tmp_path / "file").read_bytes() == b"ab"
