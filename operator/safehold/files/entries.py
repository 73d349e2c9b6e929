"""What lies in a mounted file system: entries with what is known of them."""

import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from safehold.errors import GuestFileError
from safehold.files.guestfish import Guestfish, RefusedError
from safehold.files.names import printable

Kind = Literal["File", "Folder", "Link", "Other"]
_TOGETHER_BYTES = 6000
"""Names in one command."""
_PLAIN = re.compile(rb"[^\x00-\x20'\"\\\x7f]+")
"""Names that can be in a list of guestfish's; of others each is asked for by itself."""
_NUMBER = re.compile(rb"^\s*(st_\w+): (-?\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, folder, link, or something else. Names are bytes: a file system knows no others."""

    path: bytes
    mode: int
    """As in stat(2), with the type."""
    size_bytes: int
    modified: int
    """Seconds of Unix time."""
    uid: int
    gid: int
    target: bytes | None = None
    """Where a link leads."""

    @property
    def kind(self) -> Kind:
        """What it is; Other for devices, pipes and sockets."""
        if stat.S_ISREG(self.mode):
            return "File"
        if stat.S_ISDIR(self.mode):
            return "Folder"
        return "Link" if stat.S_ISLNK(self.mode) else "Other"


def find_entry(fish: Guestfish, path: bytes) -> Entry:
    """What a path leads to, through links, or a link that leads nowhere itself; GuestFileError if it is absent."""
    refusal = ""
    for command in ("statns", "lstatns"):
        try:
            (entry,) = _entries([path], fish.run(command, path))
        except RefusedError as problem:
            refusal = problem.what
        else:
            return entry
    if refusal.endswith("No such file or directory"):
        raise GuestFileError(f"{printable(path)} does not exist there", remedy="'safehold files ls' lists what does")
    raise RefusedError(refusal)


def real_path(fish: Guestfish, folder: bytes) -> bytes:
    """The folder by a path without links: some commands would follow an absolute link into the appliance itself."""
    return fish.run("realpath", folder).removesuffix(b"\n")


def list_folder(fish: Guestfish, folder: bytes, *, recursive: bool) -> Iterator[Entry]:
    """What lies in a folder, by name; with `recursive` all below it, folder by folder, without following links."""
    command = "find0" if recursive else "ls0"
    listed = b"".join(fish.stream(command, real_path(fish, folder), fish.output)).split(b"\0")
    base = folder.rstrip(b"/")
    # find0 begins each name with a slash, ls0 does not.
    places = sorted((base + b"/" + name.lstrip(b"/")).rpartition(b"/")[::2] for name in listed if name)
    for parent, within in groupby(places, key=lambda place: place[0]):
        for entry in _looked_up(fish, parent or b"/", [name for _, name in within]):
            yield _with_target(fish, entry) if entry.kind == "Link" else entry


def _looked_up(fish: Guestfish, folder: bytes, names: Sequence[bytes]) -> Iterator[Entry]:
    base = folder.rstrip(b"/") + b"/"
    for together in _groups(names):
        if len(together) == 1:
            printed = fish.run("lstatns", base + together[0])
        else:
            printed = fish.run("lstatnslist", folder, b" ".join(together))
        yield from _entries([base + name for name in together], printed)


def _groups(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The names, in order, as lists that fit into a command."""
    together: list[bytes] = []
    size = 0
    for name in names:
        is_plain = _PLAIN.fullmatch(name) is not None
        if together and (not is_plain or size + len(name) >= _TOGETHER_BYTES):
            yield together
            together, size = [], 0
        together.append(name)
        size += len(name) + 1
        if not is_plain:
            yield together
            together, size = [], 0
    if together:
        yield together


def _entries(paths: Sequence[bytes], printed: bytes) -> list[Entry]:
    """One entry for each path that still exists, from what guestfish prints of stat structures."""
    found: list[dict[bytes, int]] = []
    for line in printed.splitlines():
        match = _NUMBER.match(line)
        if match is None:
            continue
        if match[1] == b"st_dev":
            found.append({})
        found[-1][match[1]] = int(match[2])
    return [_entry(path, numbers) for path, numbers in zip(paths, found, strict=True) if numbers[b"st_ino"] != -1]


def _entry(path: bytes, numbers: dict[bytes, int]) -> Entry:
    return Entry(
        path=path,
        mode=numbers[b"st_mode"],
        size_bytes=numbers[b"st_size"],
        modified=numbers[b"st_mtime_sec"],
        uid=numbers[b"st_uid"],
        gid=numbers[b"st_gid"],
    )


def _with_target(fish: Guestfish, entry: Entry) -> Entry:
    with suppress(RefusedError):
        return replace(entry, target=fish.run("readlink", entry.path).removesuffix(b"\n"))
    return entry
