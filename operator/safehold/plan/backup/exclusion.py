"""Disks that a backup leaves out.

Which ones is decided once, when the run begins, and recorded in its status: labels and annotations that change in
mid-run change nothing. KubeVirt's snapshot may hold an excluded disk all the same; nobody reads it, and it goes with
the snapshot.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from safehold.api.vmbackup import VMBackup
from safehold.api.volumes import ExcludedVolume, Volumes
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.facts import DiskFacts, MachineFacts
from safehold.plan.selection import matches

EXCLUDE_VOLUMES = "safehold.dev/exclude-volumes"
"""Annotation of a VM: names of its volumes that no backup holds, separated by commas."""


def asks_claims(volumes: Volumes) -> bool:
    """Whether the labels of claims decide."""
    return volumes.exclude is not None and volumes.exclude.claim_selector is not None


def with_exclusions(backup: VMBackup, machine: MachineFacts) -> MachineFacts:
    """The VM as the run sees it: without the disks that were left out, or that are before it begins."""
    begun = backup.status.start_time is not None
    excluded = tuple(backup.status.excluded_volumes) if begun else tuple(_excluded(backup.spec.volumes, machine))
    names = {one.name for one in excluded}
    return replace(
        machine,
        disks=tuple(disk for disk in machine.disks if disk.name not in names),
        unsaved_disks=tuple(name for name in machine.unsaved_disks if name not in names),
        excluded=excluded,
    )


def without_volumes(snapshot: SnapshotFacts, names: Collection[str]) -> SnapshotFacts:
    """The snapshot without volumes that the run left out."""
    capture = snapshot.capture
    if capture is None or not names:
        return snapshot
    kept = replace(
        capture,
        disks={name: claim for name, claim in capture.disks.items() if name not in names},
        volumes=tuple(volume for volume in capture.volumes if volume.name not in names),
    )
    return replace(snapshot, capture=kept)


def _excluded(volumes: Volumes, machine: MachineFacts) -> Iterator[ExcludedVolume]:
    known = {disk.name for disk in machine.disks}
    for disk in machine.disks:
        if reason := _reason(volumes, machine, disk):
            yield ExcludedVolume(name=disk.name, claim_name=disk.claim, reason=reason)
    for name in machine.unsaved_disks:
        if name not in known and (reason := _reason_by_name(volumes, machine, name)):
            yield ExcludedVolume(name=name, reason=reason)


def _reason(volumes: Volumes, machine: MachineFacts, disk: DiskFacts) -> str | None:
    exclude = volumes.exclude
    if reason := _reason_by_name(volumes, machine, disk.name):
        return reason
    if exclude and exclude.claim_selector and disk.claim_labels is not None:
        chosen = matches(exclude.claim_selector, disk.claim_labels)
        return f"spec.volumes.exclude.claimSelector matches claim {disk.claim}" if chosen else None
    return None


def _reason_by_name(volumes: Volumes, machine: MachineFacts, name: str) -> str | None:
    if volumes.exclude and name in (volumes.exclude.names or ()):
        return "spec.volumes.exclude names it"
    if name in machine.excluded_by_owner:
        return f"the VM's annotation {EXCLUDE_VOLUMES} names it"
    return None
