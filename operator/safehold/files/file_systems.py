"""The file systems of attached disks: found, chosen, and mounted read-only as the guest would have them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from safehold.errors import GuestFileError
from safehold.files.guestfish import Guestfish, RefusedError
from safehold.files.names import printable

WHOLE = "disk"
"""What a file system is called that takes a disk without partitions."""
_ENCRYPTED = {"crypto_LUKS", "BitLocker"}
_PLACES = ("list-devices", "list-partitions", "lvs")
_NOT_MOUNTED = {"unknown", "swap"} | _ENCRYPTED
"""What libguestfs calls what holds no files, or none that can be read without a passphrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """One file system, or what takes the place of one."""

    device: str
    """The appliance's name of it."""
    volume: str | None
    """The volume that holds it; None for a logical volume, which may lie on several."""
    partition: str
    """What people call it: a partition's number, `disk`, or a logical volume as `GROUP/VOLUME`."""
    type: str
    label: str = ""
    uuid: str = ""
    size_bytes: int | None = None

    @property
    def has_files(self) -> bool:
        """Whether it can be mounted, as far as its type tells."""
        return self.type not in _NOT_MOUNTED

    @property
    def is_encrypted(self) -> bool:
        """Whether the guest has encrypted it."""
        return self.type in _ENCRYPTED

    @property
    def obstacle(self) -> str:
        """Why it cannot be read, if it has no files."""
        if self.is_encrypted:
            return "it is encrypted by the guest, which alone can open it"
        return "it is swap space" if self.type == "swap" else "nothing is known of what it holds"

    def __str__(self) -> str:
        where = f"{self.volume} {self.partition}" if self.volume else self.partition
        return f"{where} ({self.type})"


def find_file_systems(fish: Guestfish, volumes: Sequence[str]) -> list[FileSystem]:
    """All of them, also those without files, on disks that were attached in this order."""
    devices = fish.run("list-devices").decode("utf-8", errors="replace").split()
    disks = dict(zip(devices, volumes, strict=False))
    found = []
    for line in fish.run("list-filesystems").decode("utf-8", errors="replace").splitlines():
        device, _, kind = line.rpartition(": ")
        if device:
            found.append(_named(device, kind, disks))
    return found + _encrypted(fish, disks, {each.device for each in found})


def _encrypted(fish: Guestfish, disks: dict[str, str], listed: set[str]) -> list[FileSystem]:
    """What the guest has encrypted, which libguestfs does not list among file systems."""
    places = [fish.run(command).decode("utf-8", errors="replace").split() for command in _PLACES]
    found = [
        _named(device, _asked(fish, "vfs-type", device), disks) for device in chain(*places) if device not in listed
    ]
    return [each for each in found if each.is_encrypted]


def described(fish: Guestfish, found: FileSystem) -> FileSystem:
    """The same with label, uuid and size, as far as the appliance can tell."""
    size = _asked(fish, "blockdev-getsize64", found.device)
    return replace(
        found,
        label=_asked(fish, "vfs-label", found.device),
        uuid=_asked(fish, "vfs-uuid", found.device),
        size_bytes=int(size) if size.isdigit() else None,
    )


def mount_one(fish: Guestfish, found: Sequence[FileSystem], partition: str) -> None:
    """Mount the file system that people call `partition`; GuestFileError lists those that there are."""
    named = [each for each in found if each.partition == partition.removeprefix("/dev/")]
    # A disk that holds nothing keeps nobody from the file system on another one.
    named = [each for each in named if each.has_files] or named
    if len(named) != 1:
        raise GuestFileError(
            f"{len(named) or 'No'} file systems are called {printable(partition.encode())}",
            expected=_listed(found),
            remedy="name the volume as well" if named else None,
        )
    _refuse_without_files(named[0])
    fish.run("mount-ro", named[0].device, "/")


def mount_all(fish: Guestfish, found: Sequence[FileSystem]) -> list[str]:
    """Mount the only file system, or those of the only operating system where its own table of mounts has them.

    Returns a sentence for each that could not be mounted. GuestFileError where one has to be chosen.
    """
    with_files = [each for each in found if each.has_files]
    if not with_files:
        raise GuestFileError(
            "No file system is there that can be read",
            found=", ".join(f"{_listed([each])}, of which {each.obstacle}" for each in found) or "empty disks",
        )
    closed = [f"{_listed([each])} is left out: {each.obstacle}" for each in found if each.is_encrypted]
    if len(with_files) == 1:
        fish.run("mount-ro", with_files[0].device, "/")
        return closed
    roots = fish.run("inspect-os").decode("utf-8", errors="replace").split()
    if len(roots) != 1:
        what = f"{len(roots)} operating systems" if roots else "no operating system"
        raise GuestFileError(
            f"Which file system is meant is not clear: there is {what}",
            expected=f"--partition with one of {_listed(found)}",
        )
    return closed + _mount_as_in_guest(fish, roots[0])


def _mount_as_in_guest(fish: Guestfish, root: str) -> list[str]:
    printed = fish.run("inspect-get-mountpoints", root).decode("utf-8", errors="replace")
    pairs = (line.partition(": ") for line in printed.splitlines())
    mounts = sorted((point, device) for point, _, device in pairs if point.startswith("/"))
    complaints = []
    for point, device in mounts:
        try:
            fish.run("mount-ro", device, point)
        except RefusedError as problem:
            if point == "/":
                raise
            complaints.append(f"{printable(point.encode())} of the guest could not be mounted: {problem.what}")
    return complaints


def _named(device: str, kind: str, disks: dict[str, str]) -> FileSystem:
    for disk, volume in disks.items():
        rest = device.removeprefix(disk)
        if rest != device and (rest == "" or rest.isdigit()):
            return FileSystem(device=device, volume=volume, partition=rest or WHOLE, type=kind)
    return FileSystem(device=device, volume=None, partition=device.removeprefix("/dev/"), type=kind)


def _refuse_without_files(found: FileSystem) -> None:
    if not found.has_files:
        raise GuestFileError(f"{_listed([found])} cannot be read", found=found.obstacle)


def _asked(fish: Guestfish, command: str, device: str) -> str:
    with suppress(RefusedError):
        return printable(fish.run(command, device).removesuffix(b"\n"))
    return ""


def _listed(found: Sequence[FileSystem]) -> str:
    return ", ".join(printable(str(each).encode()) for each in found)
