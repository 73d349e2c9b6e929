"""Which VMBackups leave the cluster. They are a catalogue of recent points; the bucket is the record of all."""

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from safehold.plan.names import POLICY_UID
from safehold.plan.policy.facts import RUN, TIER, is_made_by

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


def entry_of(found: Mapping[str, Any]) -> CatalogueEntry | None:
    """The entry that may be trimmed; None for one that is active, held, in deletion, or made by a person.

    What a person made may be in Git, from where it would come back as a new backup. As it was read: there may be
    50,000, of which models would take minutes and a GiB.
    """
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    labels, vm, ended = metadata.get("labels") or {}, spec["vm"]["name"], status.get("completionTime")
    policy = labels.get(POLICY_UID, "")
    if ended is None or spec.get("hold") or "deletionTimestamp" in metadata:
        return None
    if not is_made_by(policy, name=metadata["name"], vm=vm, labels=labels):
        return None
    return CatalogueEntry(
        namespace=sys.intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        vm=vm,
        policy=sys.intern(policy),
        run=sys.intern(f"{labels.get(TIER, '')} {labels.get(RUN, '')}"),
        ended=datetime.fromisoformat(ended),
        restore_point=status.get("restorePoint"),
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
