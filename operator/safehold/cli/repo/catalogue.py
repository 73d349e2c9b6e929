"""`safehold repo points` and `safehold repo forget`."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import click

from safehold.cli.repo.options import Place, domains_option, output_option, with_place
from safehold.cli.repo.output import show_json, show_table, size
from safehold.engine.maintenance.manifests import read_manifests
from safehold.engine.names import PointName
from safehold.engine.points.holds import Hold
from safehold.engine.points.manifest import Manifest
from safehold.engine.repository import Domain
from safehold.errors import PointError


@click.command("points")
@with_place
@domains_option
@click.option("--vm", help="Only points of the VM of this name.")
@output_option
def points(place: Place, key_domains: tuple[str, ...], vm: str | None, output: str) -> None:
    """List the restore points, each VM's newest first."""
    found = [
        (manifest, held[manifest.point])
        for domain in place.domains(key_domains)
        for held in [_held(domain)]
        for manifest in _manifests(domain)
        if vm in (None, manifest.owner.vm)
    ]
    if output == "json":
        show_json([_described(manifest) | {"holds": [_hold(hold) for hold in holds]} for manifest, holds in found])
        return
    rows = [
        (
            manifest.owner.namespace,
            manifest.owner.vm,
            f"{manifest.created:%Y-%m-%d %H:%M:%S}",
            manifest.capture.consistency if manifest.capture else "",
            ", ".join(volume.name for volume in manifest.volumes),
            size(sum(volume.size_bytes for volume in manifest.volumes)),
            size(sum(volume.statistics.bytes_stored for volume in manifest.volumes)),
            "; ".join(hold.reason for hold in holds),
            manifest.point,
        )
        for manifest, holds in found
    ]
    columns = ["Namespace", "VM", "Created (UTC)", "Consistency", "Volumes", "Size ", "Added ", "Held", "Restore point"]
    show_table(f"{len(rows)} restore points", columns, rows)


@click.command("forget")
@click.argument("restore_points", nargs=-1, required=True, metavar="POINT...")
@with_place
@domains_option
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten, and forget nothing.")
@output_option
def forget(
    place: Place, restore_points: tuple[str, ...], key_domains: tuple[str, ...], dry_run: bool, output: str
) -> None:
    """Take restore points out of the catalogue, for good. Their space is freed by `prune`, days later.

    All of them must exist, and none may be held, or nothing is forgotten.
    """
    domains = place.domains(key_domains)
    doomed = [_find(domains, point) for point in dict.fromkeys(restore_points)]
    for domain, manifest in doomed:
        domain.holds.refuse(manifest.point)
    if not dry_run:
        for domain, manifest in doomed:
            domain.points.forget(manifest)
    if output == "json":
        show_json([_described(manifest) | {"forgotten": not dry_run} for _, manifest in doomed])
        return
    for domain, manifest in doomed:
        verb = "Would forget" if dry_run else "Forgot"
        last = "" if _others(domain, manifest, restore_points) else "; the VM has no other restore point"
        click.echo(f"{verb} {manifest.point} of {manifest.owner.vm}, made {manifest.created:%Y-%m-%d %H:%M:%S}{last}")


def _manifests(domain: Domain) -> Iterator[Manifest]:
    for _, manifest in read_manifests(domain.points):
        if not isinstance(manifest, Manifest):
            raise manifest
        yield manifest


def _held(domain: Domain) -> dict[str, list[Hold]]:
    """By point; none where nobody holds it."""
    return defaultdict(list, {point: domain.holds.of(point) for point in domain.holds.points()})


def _hold(hold: Hold) -> dict[str, str]:
    return {"reason": hold.reason, "since": hold.since.isoformat()}


def _find(domains: list[Domain], point: str) -> tuple[Domain, Manifest]:
    name = PointName.of_id(point)
    for domain in domains:
        with suppress(PointError):
            return domain, domain.points.read(name)
    raise PointError(
        f"The restore point {point} does not exist, and nothing was forgotten",
        remedy="look at 'safehold repo points'",
    )


def _others(domain: Domain, manifest: Manifest, forgotten: tuple[str, ...]) -> bool:
    return any(name.id not in forgotten for name in domain.points.names(manifest.owner))


def _described(manifest: Manifest) -> dict[str, object]:
    return {
        "restorePoint": manifest.point,
        "keyDomain": manifest.domain,
        "parent": manifest.parent,
        "sequence": manifest.sequence,
        "created": manifest.created.isoformat(),
        "cluster": manifest.owner.cluster,
        "namespace": manifest.owner.namespace,
        "namespaceUID": manifest.owner.namespace_uid,
        "vm": manifest.owner.vm,
        "vmUID": manifest.owner.vm_uid,
        "captured": manifest.capture.time.isoformat() if manifest.capture else None,
        "consistency": manifest.capture.consistency if manifest.capture else None,
        "volumes": [
            {
                "name": volume.name,
                "sizeBytes": volume.size_bytes,
                "engine": volume.engine,
                "bytesStored": volume.statistics.bytes_stored,
            }
            for volume in manifest.volumes
        ],
    }
