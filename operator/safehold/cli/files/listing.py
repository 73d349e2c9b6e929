"""`safehold files ls`."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from safehold.cli.files.source import PointSource, mount, opened_files, with_source
from safehold.cli.repo.output import show_json, show_table, size
from safehold.engine.points.manifest import Manifest
from safehold.errors import UsageError
from safehold.files.entries import Entry
from safehold.files.file_systems import FileSystem
from safehold.files.names import printable, text
from safehold.files.session import PointFiles

_FORMATS = click.Choice(["text", "json"])


@click.command("ls")
@with_source
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--partition", help="The file system, as 'ls POINT:VOLUME' names it; else found by inspection.")
@click.option("--recursive", "-r", is_flag=True, help="Also all that lies below folders.")
@click.option("--output", "-o", type=_FORMATS, default="text", show_default=True)
def ls(source: PointSource, paths: tuple[str, ...], partition: str | None, recursive: bool, output: str) -> None:
    """List the volumes of POINT, the file systems of POINT:VOLUME, or what lies at PATHs.

    Without --partition, PATHs are those of the guest: its file systems are mounted as it mounts them itself.
    """
    if not paths and (recursive or partition):
        raise UsageError("--recursive and --partition go with a PATH", remedy="name one, such as /")
    with source.open() as (domain, manifest):
        if not paths and source.volume is None:
            _show_volumes(manifest, output)
            return
        with opened_files(source, domain, manifest) as files:
            if not paths:
                _show_file_systems(files.file_systems(), output)
                return
            mount(files, partition)
            found = (entry for path in paths for entry in _entries(files, os.fsencode(path), recursive=recursive))
            _show_entries(found, output)


def _entries(files: PointFiles, path: bytes, *, recursive: bool) -> Iterator[Entry]:
    entry = files.entry(path)
    if entry.kind == "Folder":
        yield from files.below(path, recursive=recursive)
    else:
        yield entry


def _show_volumes(manifest: Manifest, output: str) -> None:
    if output == "json":
        show_json([{"volume": each.name, "role": each.role, "sizeBytes": each.size_bytes} for each in manifest.volumes])
        return
    rows = [(each.name, each.role, size(each.size_bytes)) for each in manifest.volumes]
    show_table(f"Volumes of {manifest.point}", ("Volume", "Role", "Size "), rows)


def _show_file_systems(found: list[FileSystem], output: str) -> None:
    if output == "json":
        show_json(
            [
                {
                    "volume": each.volume,
                    "partition": each.partition,
                    "type": each.type,
                    "label": each.label,
                    "uuid": each.uuid,
                    "sizeBytes": each.size_bytes,
                }
                for each in found
            ]
        )
        return
    rows = [
        (
            printable(each.partition.encode()),
            printable(each.type.encode()),
            each.label,
            each.uuid,
            "" if each.size_bytes is None else size(each.size_bytes),
        )
        for each in found
    ]
    show_table(f"File systems: {len(rows)}", ("Partition", "Type", "Label", "UUID", "Size "), rows)


def _show_entries(found: Iterator[Entry], output: str) -> None:
    if output == "json":
        show_json([_document(entry) for entry in found])
        return
    for entry in found:
        leads = "" if entry.target is None else f" -> {printable(entry.target)}"
        click.echo(
            f"{stat.filemode(entry.mode)} {entry.uid:>5} {entry.gid:>5} {entry.size_bytes:>13,}"
            f" {_time(entry)} {printable(entry.path)}{leads}"
        )


def _document(entry: Entry) -> dict[str, object]:
    return {
        "path": text(entry.path),
        "kind": entry.kind,
        "mode": f"{stat.S_IMODE(entry.mode):04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "sizeBytes": entry.size_bytes,
        "modified": _time(entry),
        "target": None if entry.target is None else text(entry.target),
    }


def _time(entry: Entry) -> str:
    """The time of the last change in UTC; a file system may hold times that no calendar has."""
    try:
        return f"{datetime.fromtimestamp(entry.modified, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"@{entry.modified}"
