"""`safehold volume`: the engine on a plain disk file or block device, without Kubernetes."""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import click

from safehold.cli.progress import progress_bar
from safehold.cli.repository import open_domain, repository_options, stop_on_signals
from safehold.engine.backup import BackupRequest, VolumeInput, back_up
from safehold.engine.comparing import volume_of
from safehold.engine.manifest import Manifest, Owner, Statistics
from safehold.engine.names import PointName
from safehold.engine.repository import Domain
from safehold.engine.restore import fill
from safehold.errors import PointError, UsageError
from safehold.reasons import Reason

_OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
_DISK = click.argument("disk", type=click.Path(path_type=Path))


@click.group("volume")
def command() -> None:
    """Back up and restore one disk: a raw image file or a block device."""


@command.command("backup")
@_DISK
@repository_options
@click.option("--vm", required=True, help="Whose disk it is; points of a VM follow each other.")
@click.option("--volume", required=True, help="The disk's name in the VM.")
@_OUTPUT
def backup(
    disk: Path,
    repository: str,
    endpoint_url: str | None,
    key_file: Path | None,
    key_domain: str,
    vm: str,
    volume: str,
    output: str,
) -> None:
    """Store what changed of DISK since the last point, as a new restore point that is whole by itself."""
    started = monotonic()
    stop = stop_on_signals()
    domain = open_domain(repository, endpoint_url, key_file, key_domain, create=True)
    request = BackupRequest(run_id=str(uuid.uuid4()), owner=_owner(vm), volumes=[VolumeInput(name=volume, path=disk)])
    with progress_bar("Backing up") as progress:
        manifest = back_up(domain, request, stop=stop, progress=progress)
    _show_backup(manifest, monotonic() - started, output)


@command.command("restore")
@_DISK
@repository_options
@click.option("--restore-point", required=True, metavar="ID|latest", help="From the output of a backup, or latest.")
@click.option("--vm", help="Whose point it must be; needed for latest.")
@click.option("--volume", help="The disk's name in the VM; may be left out where the point has one disk.")
@_OUTPUT
def restore(
    disk: Path,
    repository: str,
    endpoint_url: str | None,
    key_file: Path | None,
    key_domain: str,
    restore_point: str,
    vm: str | None,
    volume: str | None,
    output: str,
) -> None:
    """Fill DISK from a restore point and read it back. A file gets its name only when it is whole."""
    started = monotonic()
    stop = stop_on_signals()
    domain = open_domain(repository, endpoint_url, key_file, key_domain, create=False)
    manifest = _find_point(domain, restore_point, vm)
    name = volume or _only_volume(manifest)
    size_bytes = volume_of(manifest, name).size_bytes
    done = 0
    with progress_bar("Restoring") as progress:

        def count(filled: int) -> None:
            nonlocal done
            done += filled
            progress(done, size_bytes)

        fill(domain, manifest, name, disk, stop=stop, progress=count)
    result = {"restorePoint": manifest.point, "volume": name, "bytesTotal": size_bytes}
    _show({**result, "seconds": round(monotonic() - started, 3)}, f"Restored and verified {disk}", output)


def _owner(vm: str) -> Owner:
    """Disks without a cluster belong to the name that was given; an operator's points are of uids, so never collide."""
    return Owner(cluster="", namespace_uid="", vm_uid=vm, namespace="", vm=vm)


def _find_point(domain: Domain, restore_point: str, vm: str | None) -> Manifest:
    if restore_point != "latest":
        manifest = domain.points.read(PointName.of_id(restore_point))
        if vm is not None and manifest.owner.vm != vm:
            raise PointError(
                f"The restore point {restore_point} belongs to another VM",
                expected=vm,
                found=manifest.owner.vm,
                reason=Reason.POINT_NOT_YOURS,
            )
        return manifest
    if vm is None:
        raise UsageError("The latest point of which VM", remedy="give --vm")
    latest = domain.points.latest(_owner(vm))
    if latest is None:
        raise PointError(f"There is no restore point of the VM {vm}", remedy="check --vm and --key-domain")
    return latest


def _only_volume(manifest: Manifest) -> str:
    if len(manifest.volumes) != 1:
        names = ", ".join(volume.name for volume in manifest.volumes)
        raise UsageError("The point has several disks", expected=f"--volume with one of {names}")
    return manifest.volumes[0].name


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
    _show(result, f"Backed up {volume.name} of {manifest.owner.vm}", output)


def _show(result: Mapping[str, object], headline: str, output: str) -> None:
    if output == "json":
        click.echo(json.dumps(result))
        return
    click.echo(headline)
    for name, value in result.items():
        shown = f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
        click.echo(f"  {name:<14} {shown}")
