"""Which VMBackups leave the cluster. They are a catalogue of recent points; the bucket is the record of all."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from safehold.api.vmbackup import VMBackup
from safehold.plan.policy.facts import RUN, TIER, policy_of

KEPT_FAILURES = 20
"""Runs of one VM and policy: as many as the circuit breaker counts before its delay grows no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A VMBackup that has ended, which a policy made."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    vm: str
    policy: str
    run: str
    """The run, which several failures may be tries of."""
    ended: datetime
    restore_point: str | None
    """None: the run failed."""


def entry_of(backup: VMBackup) -> CatalogueEntry | None:
    """The entry that may be trimmed; None for one that is active, held, in deletion, or made by a person.

    What a person made may be in Git, from where it would come back as a new backup.
    """
    metadata, status = backup.metadata, backup.status
    policy = policy_of(backup)
    going = metadata.deletion_timestamp is not None
    if policy is None or status.completion_time is None or backup.spec.hold or going:
        return None
    return CatalogueEntry(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version or "",
        vm=backup.spec.vm.name,
        policy=policy,
        run=f"{metadata.labels.get(TIER, '')} {metadata.labels.get(RUN, '')}",
        ended=status.completion_time,
        restore_point=status.restore_point,
    )


def surplus(
    entries: Iterable[CatalogueEntry], *, keep_per_vm: int, in_use: Collection[tuple[str, str]] = ()
) -> list[CatalogueEntry]:
    """The entries to trim: all but the newest of each VM, some failures, and the newest of each policy and outcome.

    `in_use` are namespace and name of those that a restore is reading from.
    """
    by_vm: dict[tuple[str, str], list[CatalogueEntry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: (entry.ended, entry.name), reverse=True):
        by_vm[entry.namespace, entry.vm].append(entry)
    return [
        entry
        for found in by_vm.values()
        for entry in _behind(found, keep_per_vm)
        if (entry.namespace, entry.name) not in in_use
    ]


def _behind(newest_first: list[CatalogueEntry], keep_per_vm: int) -> Iterator[CatalogueEntry]:
    points, newer = 0, defaultdict[tuple[str, bool], set[str]](set)
    for entry in newest_first:
        succeeded = entry.restore_point is not None
        points += succeeded
        runs = newer[entry.policy, succeeded]
        before = len(runs - {entry.run})
        runs.add(entry.run)
        # A policy's status tells about its last run, and its circuit breaker counts failures since the last success.
        if before and (points > keep_per_vm if succeeded else before >= KEPT_FAILURES):
            yield entry
