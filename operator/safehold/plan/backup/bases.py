"""Keeping one run's pair as the base of the next, and letting older bases go.

The order is the proven one (killed at every step): the original says Retain since before the pair was made; the
VirtualMachineSnapshot goes, then the original content, and only then our content says Delete. So at any moment at most
one content deletes the handle, and nobody in the VM's namespace can reach it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from safehold.plan.backup.capture_facts import ContentFacts
from safehold.plan.backup.changes_facts import BaseFacts
from safehold.plan.backup.facts import Leftovers, OriginalFacts
from safehold.plan.backup.run import Run
from safehold.plan.backup.steps import Delete, KeepBase, SetPolicy, Step
from safehold.plan.names import BASE_OF, ORIGINAL_CONTENT, POLICY_UID, VM_UID


def kept_pairs(run: Run, patience: timedelta) -> frozenset[str]:
    """Names of the run's pairs that become bases: of a run with a point, whose snapshot nobody holds up."""
    if not run.status.restore_point or run.deleting or run.facts.namespace_ending:
        return frozenset()
    if any(run.since(snapshot.deleted_at) >= patience for snapshot in run.facts.leftovers.vm_snapshots):
        return frozenset()
    return frozenset(handle.pair_name for handle in run.status.handles if handle.kept_as_base)


def keep_steps(run: Run, kept: Collection[str]) -> tuple[Step, ...]:
    """What is to do next for each pair that is to become a base."""
    found = run.facts.leftovers
    originals = {original.content.name: original for original in found.originals}
    steps: list[Step] = []
    for content in found.pair_contents:
        if content.name in kept:
            steps += _keep(run, content, originals.get(content.annotations.get(ORIGINAL_CONTENT, "")))
    return tuple(steps)


def is_being_kept(found: Leftovers, kept: Collection[str]) -> bool:
    """Whether a pair has yet to become a base."""
    return any(content.name in kept for content in found.pair_contents)


def drop_old(run: Run) -> tuple[Delete, ...]:
    """With a new point nobody asks what changed since an earlier one."""
    if not run.status.restore_point:
        return ()
    return tuple(drop_base(base) for base in run.facts.leftovers.old_bases if not base.deleting)


def drop_base(base: BaseFacts) -> Delete:
    """With the snapshot go content and physical snapshot; a content alone takes the physical snapshot with it too."""
    if base.has_snapshot:
        return Delete(kind="VolumeSnapshot", name=base.name)
    return Delete(kind="VolumeSnapshotContent", name=base.name, uid=base.uid)


def stale_bases(
    bases: Collection[BaseFacts],
    *,
    machines: Collection[str],
    policies: Collection[str],
    now: datetime,
    max_age: timedelta,
) -> list[BaseFacts]:
    """Bases that no run will ask about: too old, replaced, or of a VM or policy (by uid) that is gone."""
    newest: dict[str, BaseFacts] = {}
    for base in sorted(bases, key=lambda base: base.created):
        newest[base.claim_uid] = base
    return [
        base
        for base in bases
        if now - base.created >= max_age
        or base != newest[base.claim_uid]
        or base.vm_uid not in machines
        or (base.policy_uid is not None and base.policy_uid not in policies)
    ]


def _keep(run: Run, content: ContentFacts, original: OriginalFacts | None) -> list[Step]:
    if original is None:
        return [KeepBase(content=content.name, uid=content.uid, labels=_labels(run, content.name))]
    held = original.content
    if held.policy != "Retain":  # somebody set it back, which would delete what is to be kept
        return [SetPolicy(content=held.name, uid=held.uid, policy="Retain")]
    if not original.snapshot_lives:
        return [Delete(kind="VolumeSnapshotContent", name=held.name, uid=held.uid)]
    if run.facts.leftovers.vm_snapshots:
        return []  # its VolumeSnapshots go with it
    return [
        Delete(kind="VolumeSnapshot", name=held.snapshot_name, namespace=held.snapshot_namespace, uid=held.snapshot_uid)
    ]


def _labels(run: Run, pair: str) -> dict[str, str]:
    volume = next(handle.volume for handle in run.status.handles if handle.pair_name == pair)
    claim_uid = next(found.claim_uid for found in run.status.volumes if found.name == volume)
    labels = {BASE_OF: claim_uid, VM_UID: run.status.vm_uid or ""}
    policy = run.backup.metadata.labels.get(POLICY_UID)
    return labels | ({POLICY_UID: policy} if policy else {})
