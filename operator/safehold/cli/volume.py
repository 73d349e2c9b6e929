"""`safehold volume`: the engine on a plain disk file or block device, without Kubernetes."""

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TextIO

import click

from safehold.cli.points import find_point, owner_of
from safehold.cli.progress import progress_bar
from safehold.cli.repository import Command, DomainPlace, bandwidth_options, stop_on_signals, with_domain
from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.changed_blocks.collecting import collect
from safehold.engine.changed_blocks.extent_list import ExtentList
from safehold.engine.changed_blocks.touched import TouchedChunks
from safehold.engine.disks.comparing import differences, volume_of
from safehold.engine.points.manifest import Manifest, Statistics, StoredVolume
from safehold.engine.repository import Domain
from safehold.engine.restore import complete, fill
from safehold.errors import UsageError

_OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
_DISK = click.argument("disk", type=click.Path(path_type=Path))


@click.group("volume")
def command() -> None:
    """Back up and restore one disk: a raw image file or a block device."""


@command.command("backup")
@_DISK
@with_domain
@click.option("--vm", required=True, help="Whose disk it is; points of a VM follow each other.")
@click.option("--volume", required=True, help="The disk's name in the VM.")
@click.option(
    "--changed-extents",
    type=click.File("r", lazy=False),
    metavar="FILE|-",
    help="Read only what FILE names: all that changed since the VM's last point, in order, as lines of "
    '{"offset": BYTES, "length": BYTES}. A list that cannot be used is told, and all of DISK is read.',
)
@click.option(
    "--verify",
    is_flag=True,
    help="With --changed-extents: read all of DISK as well, tell what FILE kept silent about, and store what was read.",
)
@bandwidth_options
@_OUTPUT
def backup(
    disk: Path,
    place: DomainPlace,
    vm: str,
    volume: str,
    changed_extents: TextIO | None,
    verify: bool,
    output: str,
) -> None:
    """Store what changed of DISK since the last point, as a new restore point that is whole by itself."""
    if verify and not changed_extents:
        raise UsageError("--verify proves a list of changes, and there is none", remedy="add --changed-extents")
    started = monotonic()
    stop = stop_on_signals()
    domain = place.open(create=True)
    run_id = str(uuid.uuid4())
    changes = _listed_changes(domain, vm, volume, changed_extents) if changed_extents else None
    disks = [VolumeInput(name=volume, path=disk, checkpoint=run_id, changes=changes, verify=verify)]
    request = BackupRequest(run_id=run_id, owner=owner_of(vm), volumes=disks)
    with progress_bar("Backing up") as progress:
        manifest = back_up(domain, request, stop=stop, progress=progress)
    _show_backup(manifest, monotonic() - started, output)


def _listed_changes(domain: Domain, vm: str, volume: str, extents: Iterable[str]) -> ExtentList:
    """Changes since the VM's last point; UsageError if it has none of this disk."""
    latest = domain.points.latest(owner_of(vm))
    parent = latest.volume(volume) if latest else None
    if parent is None:
        raise UsageError(
            f"There is no earlier point of {vm} with the disk {volume} that changes could be since",
            remedy="make the first one without --changed-extents",
        )
    return ExtentList(extents, parent.checkpoint)


def _point_options(function: Command) -> Command:
    for option in (
        click.option("--volume", help="The disk's name in the VM; may be left out where the point has one disk."),
        click.option("--vm", help="Whose point it must be; needed for latest."),
        click.option(
            "--restore-point", required=True, metavar="ID|latest", help="From the output of a backup, or latest."
        ),
    ):
        function = option(function)
    return function


@command.command("restore")
@_DISK
@with_domain
@_point_options
@click.option(
    "--delta",
    is_flag=True,
    help="DISK is there and has something in common with the point, such as a clone of the volume: read it, and write "
    "only what differs.",
)
@click.option(
    "--changed-extents",
    type=click.File("r", lazy=False),
    metavar="FILE|-",
    help="With --delta: DISK is what the point says but for what FILE names, so nothing else is looked at. Lines as "
    "for backup. Ranges that are missing stay wrong; --verify finds them.",
)
@click.option("--verify", is_flag=True, help="Wait until the medium has everything, read it back and compare it.")
@bandwidth_options
@_OUTPUT
def restore(
    disk: Path,
    place: DomainPlace,
    restore_point: str,
    vm: str | None,
    volume: str | None,
    delta: bool,
    changed_extents: TextIO | None,
    verify: bool,
    output: str,
) -> None:
    """Fill DISK from a restore point; all data is authenticated before it is written.

    A file gets its name, and a device its first sectors, only when it is whole.
    """
    if changed_extents and not delta:
        raise UsageError("--changed-extents says what to complete of a disk that is there", remedy="add --delta")
    started = monotonic()
    stop = stop_on_signals()
    domain = place.open(create=False)
    manifest = find_point(domain, restore_point, vm)
    name = volume or _only_volume(manifest)
    stored = volume_of(manifest, name)
    only = _listed_chunks(stored, changed_extents, stop) if changed_extents else None
    with _counted("Restoring", stored.size_bytes) as count:
        if delta:
            restored = complete(domain, manifest, name, disk, stop=stop, progress=count, read_back=verify, only=only)
        else:
            restored = fill(domain, manifest, name, disk, stop=stop, progress=count, read_back=verify)
    result = {
        "restorePoint": manifest.point,
        "volume": name,
        "bytesTotal": restored.bytes_total,
        "bytesFetched": restored.bytes_fetched,
        "bytesWritten": restored.bytes_written,
        "verified": verify,
        "seconds": round(monotonic() - started, 3),
    }
    _show(result, f"{'Restored and verified' if verify else 'Restored'} {disk}", output)


def _listed_chunks(volume: StoredVolume, extents: Iterable[str], stop: threading.Event) -> TouchedChunks:
    """The chunks of a point's volume that the list touches; ChangedBlocksError if it is malformed."""
    listed = ExtentList(extents, volume.checkpoint).changed()
    return collect(listed, size_bytes=volume.size_bytes, chunk_bytes=volume.chunk_bytes, stop=stop)


@command.command("diff")
@_DISK
@with_domain
@_point_options
@_OUTPUT
def diff(
    disk: Path,
    place: DomainPlace,
    restore_point: str,
    vm: str | None,
    volume: str | None,
    output: str,
) -> None:
    """Tell where DISK is not what a restore point says, by chunks. Nothing is written, and no chunk is fetched."""
    started = monotonic()
    stop = stop_on_signals()
    domain = place.open(create=False)
    manifest = find_point(domain, restore_point, vm)
    name = volume or _only_volume(manifest)
    size_bytes = volume_of(manifest, name).size_bytes
    with _counted("Comparing", size_bytes) as count:
        extents = list(differences(domain, manifest, name, disk, stop=stop, progress=count))
    result: dict[str, object] = {
        "restorePoint": manifest.point,
        "volume": name,
        "identical": not extents,
        "bytesTotal": size_bytes,
        "bytesDiffering": sum(extent.length for extent in extents),
        "seconds": round(monotonic() - started, 3),
    }
    if output == "json":
        result["extents"] = [[extent.offset, extent.length] for extent in extents]
    _show(result, f"{disk} {'differs from' if extents else 'is what is in'} the restore point", output)
    if output == "text":
        for extent in extents:
            click.echo(f"  {extent.length:,} bytes at {extent.offset:,}")


@contextmanager
def _counted(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar that is told what is done now, not in all."""
    done = 0
    with progress_bar(title) as progress:

        def count(more: int) -> None:
            nonlocal done
            done += more
            progress(min(done, total), total)

        yield count


def _only_volume(manifest: Manifest) -> str:
    disks = [volume.name for volume in manifest.volumes if volume.role == "Disk"]
    if len(disks) != 1:
        raise UsageError("The point has several disks", expected=f"--volume with one of {', '.join(disks)}")
    return disks[0]


def _show_backup(manifest: Manifest, seconds: float, output: str) -> None:
    volume = manifest.volumes[0]
    statistics: Statistics = volume.statistics
    result = {
        "restorePoint": manifest.point,
        "parent": manifest.parent,
        "engine": volume.engine,
        "engineReason": volume.engine_reason,
        "bytesTotal": statistics.bytes_total,
        "bytesRead": statistics.bytes_read,
        "bytesChanged": statistics.bytes_changed,
        "bytesUploaded": statistics.bytes_uploaded,
        "bytesStored": statistics.bytes_stored,
        "seconds": round(seconds, 3),
    }
    if volume.verified:
        result |= {"verified": True, "mismatchedBytes": volume.mismatched_bytes}
    _show(result, f"Backed up {volume.name} of {manifest.owner.vm}", output)


def _show(result: Mapping[str, object], headline: str, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(result))
        return
    click.echo(headline)
    for name, value in result.items():
        is_count = isinstance(value, int) and not isinstance(value, bool)
        shown = f"{value:,}" if is_count else "none" if value is None else str(value)
        click.echo(f"  {name:<14} {shown}")
