"""`safehold files get`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import click

from safehold.cli.files.source import PointSource, mount, opened_files, with_source
from safehold.cli.repo.output import show_json, size
from safehold.errors import GuestFileError, UsageError, VolumeError
from safehold.files.entries import Entry
from safehold.files.extraction import unpack, write_file
from safehold.files.names import printable, text
from safehold.files.session import PointFiles

_STDOUT = "-"


@click.command("get")
@with_source
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--partition", help="The file system, as 'ls POINT:VOLUME' names it; else found by inspection.")
@click.option("--recursive", "-r", is_flag=True, help="Get folders with all that lies below them.")
@click.option(
    "--tar", "as_tar", is_flag=True, help="Get one folder as a tar archive, with owners and all kinds of files."
)
@click.option(
    "--to",
    "-o",
    "destination",
    metavar="FILE|FOLDER|-",
    help="Where to; a folder that exists gets the files by name. Without it, the current folder; - is stdout.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def get(
    source: PointSource,
    paths: tuple[str, ...],
    partition: str | None,
    recursive: bool,
    as_tar: bool,
    destination: str | None,
    output: str,
) -> None:
    """Get files out of POINT, with their modes and times. Nothing that exists is overwritten.

    Owners and the set-user-id bits are not kept. Devices, and links that lead out of a folder, are left out and told.
    """
    if (as_tar or destination == _STDOUT) and len(paths) > 1:
        raise UsageError("Only one PATH can be an archive, or go to stdout", found=f"{len(paths)} of them")
    if as_tar and recursive:
        raise UsageError("--tar holds all that is below a folder anyway", remedy="leave out --recursive")
    _refuse_unwritable(destination)
    started = monotonic()
    with source.open() as (domain, manifest), opened_files(source, domain, manifest) as files:
        mount(files, partition)
        entries = [_checked(files.entry(os.fsencode(path)), recursive=recursive, as_tar=as_tar) for path in paths]
        if destination == _STDOUT:
            _send(files.archive(entries[0].path) if as_tar else files.read(entries[0].path))
            return
        places = [_place(entry, destination, single=len(entries) == 1, as_tar=as_tar) for entry in entries]
        got = [_get(files, entry, place, as_tar=as_tar) for entry, place in zip(entries, places, strict=True)]
        result = {
            "files": got,
            "bytesFetched": domain.store.bytes_received(),
            "seconds": round(monotonic() - started, 3),
        }
    if output == "json":
        show_json(result)
        return
    click.echo(f"Fetched {size(domain.store.bytes_received())} in {result['seconds']} s.", err=True)


def _checked(entry: Entry, *, recursive: bool, as_tar: bool) -> Entry:
    """The entry, if it can be got in the way that the options say."""
    shown = printable(entry.path)
    if entry.kind == "Link":
        raise GuestFileError(f"{shown} is a link that leads nowhere")
    if entry.kind == "Other":
        raise GuestFileError(f"{shown} is no file, but a device, a pipe or a socket")
    if entry.kind == "Folder" and not (recursive or as_tar):
        raise GuestFileError(f"{shown} is a folder", remedy="get it with --recursive, or --tar")
    if entry.kind == "File" and as_tar:
        raise GuestFileError(f"{shown} is a file", remedy="leave out --tar")
    return entry


def _refuse_unwritable(destination: str | None) -> None:
    """Said at once, and not after an appliance was started."""
    if destination == _STDOUT:
        return
    named = Path(destination or ".")
    folder = named if named.is_dir() else named.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        why = "no right to do so" if folder.is_dir() else "no such folder"
        raise VolumeError(f"Nothing can be written to {folder}", found=why, remedy="choose another place with --to")


def _place(entry: Entry, destination: str | None, *, single: bool, as_tar: bool) -> Path:
    """Where it goes; UsageError where something is already."""
    called = os.fsdecode(entry.path.rstrip(b"/").rpartition(b"/")[2]) + (".tar" if as_tar else "")
    folder = Path(destination or ".")
    if destination is not None and single and not folder.is_dir():
        place = folder
    elif called in ("", ".tar"):
        raise UsageError("The root of a file system has no name", remedy="say with --to where it goes")
    elif not folder.is_dir():
        raise UsageError(f"{folder} is no folder that exists", remedy="several files go into one that does")
    else:
        place = folder / called
    if place.exists() or place.is_symlink():
        raise UsageError(f"{printable(os.fsencode(place))} exists already", remedy="choose another place with --to")
    return place


def _get(files: PointFiles, entry: Entry, place: Path, *, as_tar: bool) -> dict[str, object]:
    result: dict[str, object] = {"path": text(entry.path), "to": os.fspath(place)}
    shown = printable(os.fsencode(place))
    if entry.kind == "Folder" and not as_tar:
        done = unpack(files.archive(entry.path), place)
        for sentence in done.left_out:
            click.echo(f"Left out {sentence}", err=True)
        click.echo(f"{shown}: {done.files:,} files, {size(done.size_bytes)}", err=True)
        return result | {"files": done.files, "sizeBytes": done.size_bytes, "leftOut": done.left_out}
    if as_tar:
        written = write_file(files.archive(entry.path), place)
    else:
        written = write_file(files.read(entry.path), place, mode=entry.mode, modified=entry.modified)
    click.echo(f"{shown}: {size(written)}", err=True)
    return result | {"sizeBytes": written}


def _send(pieces: Iterator[bytes]) -> None:
    stdout = sys.stdout.buffer
    try:
        for piece in pieces:
            stdout.write(piece)
        stdout.flush()
    except BrokenPipeError:
        # What Python still holds for stdout would raise again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        raise VolumeError("Whoever reads stdout has ended before all was written") from None
