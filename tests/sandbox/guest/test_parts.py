"""The pieces of a guest that need no QEMU."""

import io
import subprocess
from pathlib import Path

import pytest

from sandbox.guest import packages
from sandbox.guest.acknowledged import acknowledged_counters
from sandbox.guest.commandline import Disk, Machine, Sockets, qemu_command
from sandbox.guest.image import GuestImage
from sandbox.guest.initramfs import Initramfs, shared_libraries
from sandbox.guest.machine import guest_sockets


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", {}),
        (b"wal\nroot 1\nroot 2\n", {"root": 2}),
        (b"root 1\r\ndata 7\r\n", {"root": 1, "data": 7}),
        (b"root 9\nroot 10", {"root": 9}),
        (b"root 3\nroot 2\n", {"root": 3}),
        (b"Error: near line 5\n", {}),
        (b"root 3\ndata 5\nroot 0\n", {"data": 5}),
        (b"root 3\nroot 0\nroot 1\n", {"root": 1}),
    ],
)
def test_acknowledged_counters_are_the_highest_whole_lines(
    tmp_path: Path, content: bytes, expected: dict[str, int]
) -> None:
    """Only complete lines "SERIAL COUNTER" count, and the counter never goes back but for a disk that was let go."""
    log = tmp_path / "acknowledged"
    log.write_bytes(content)
    assert acknowledged_counters(log) == expected


@pytest.mark.parametrize("torn", range(12))
def test_acknowledged_counters_of_a_long_log_come_from_its_end(tmp_path: Path, torn: int) -> None:
    """A log of megabytes is answered from its last whole lines, wherever in a line its end begins."""
    log = tmp_path / "acknowledged"
    log.write_text("".join(f"root {n}\n" for n in range(200_000)) + f"data {10**torn}\n")
    assert acknowledged_counters(log) == {"root": 199_999, "data": 10**torn}


def test_a_guest_that_never_wrote_has_no_counters(tmp_path: Path) -> None:
    """A log that does not exist yet is not an error."""
    assert acknowledged_counters(tmp_path / "absent") == {}


@pytest.mark.parametrize("volume", ["root", "x" * 20, "x" * 21, "a-very-long-volume-name-of-a-vm", "y" * 63])
def test_disk_serials_fit_into_virtio(volume: str) -> None:
    """A serial has at most 20 characters and is the volume's own name where that fits."""
    serial = Disk(volume=volume, path=Path("/x")).serial
    assert len(serial) <= 20
    assert (serial == volume) == (len(volume) <= 20)


def test_long_volume_names_with_one_beginning_get_different_serials() -> None:
    """Shortening must not make two disks one."""
    first, second = (Disk(volume="data-disk-of-the-database-" + end, path=Path("/x")) for end in "ab")
    assert first.serial != second.serial


def test_the_archive_is_one_that_cpio_reads(tmp_path: Path) -> None:
    """Files, modes, links and parent folders come out of the system's cpio as they went in."""
    stream = io.BytesIO()
    archive = Initramfs(stream)
    archive.file("bin/tool", b"#!/bin/sh\n", executable=True)
    archive.file("etc/deep/er/plain", b"odd length!")
    archive.link("bin/alias", "tool")
    archive.finish()
    subprocess.run(
        ["cpio", "-i", "-d", "--quiet"], input=stream.getvalue(), cwd=tmp_path, check=True, capture_output=True
    )
    assert (tmp_path / "etc/deep/er/plain").read_bytes() == b"odd length!"
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "bin/alias").readlink() == Path("tool")


def test_a_program_brings_its_loader_and_libraries() -> None:
    """What ldd names for a dynamic program is found with absolute paths."""
    names = [path.name for path in shared_libraries(Path("/bin/ls").resolve())]
    assert any(name.startswith("libc.so") for name in names)
    assert any(name.startswith("ld-linux") for name in names)


def test_socket_paths_fit_however_deep_the_state_folder_lies() -> None:
    """A unix socket path holds 107 bytes; two VMs of one sandbox never share a folder."""
    state = Path("/tmp") / ("deep/" * 60)  # noqa: S108 (never created)
    sockets = guest_sockets(state, "team-a", "web")
    assert len(str(sockets.monitor)) <= 100
    assert sockets != guest_sockets(state, "team-b", "web")


def test_the_command_line_states_its_accelerator_and_every_disk(tmp_path: Path) -> None:
    """TCG is named (never left to QEMU's choice), and each disk carries its serial in the order given."""
    disks = (Disk(volume="root", path=tmp_path / "r"), Disk(volume="data", path=tmp_path / "d"))
    machine = Machine(name="vm", disks=disks, memory_mib=64, faults=("freeze-fails",))
    command = qemu_command(machine, GuestImage(Path("/k"), Path("/i")), Sockets(tmp_path), "tcg")
    assert command[command.index("-accel") + 1] == "tcg"
    assert command[command.index("-m") + 1] == "192"
    serials = [word.rpartition("serial=")[2] for word in command if "serial=" in word]
    assert serials == ["root", "data"]
    assert command[command.index("-append") + 1].endswith("sandbox.disks=2 sandbox.fault=freeze-fails")


def test_a_disk_of_programs_cannot_be_written(tmp_path: Path) -> None:
    """The guest waits for it as for the others, and QEMU opens it and only it for reading."""
    data, programs = (Disk(volume=name, path=tmp_path / name) for name in ("data", "programs"))
    machine = Machine(name="vm", disks=(data,), programs=(programs,))
    command = qemu_command(machine, GuestImage(Path("/k"), Path("/i")), Sockets(tmp_path), "tcg")
    read_only = [word for word in command if "read-only=on" in word]
    assert len(read_only) == 2
    assert str(tmp_path / "programs") in read_only[0]
    assert command[command.index("-append") + 1].endswith("sandbox.disks=2")


@pytest.mark.parametrize(
    ("depends", "libraries"),
    [
        ("", set()),
        ("libc6 (>= 2.34), libpq5 (>= 15.20), zlib1g", {"libc6", "libpq5", "zlib1g"}),
        ("debconf (>= 0.5) | debconf-2.0, libssl3", {"libssl3"}),
        ("libsystemd0 | libelogind0, libxslt1.1", {"libsystemd0", "libxslt1.1"}),
        ("libstdc++6:any (>= 5.2), perl, locales | locales-all", {"libstdc++6"}),
    ],
)
def test_libraries_are_found_in_what_a_package_depends_on(depends: str, libraries: set[str]) -> None:
    """Only libraries count; of alternatives the first; versions and architectures are not part of the name."""
    assert packages._libraries(depends) == libraries
