"""In which order what a run made goes away. The same for success, failure, cancellation, and runs whose object is gone.

The order is the proven one: a snapshot under a claim that is being made cannot go, and a content that goes before its
snapshot stays behind. At any moment at most one content may delete a handle.
"""

from collections.abc import Collection, Iterable

from safehold.plan.backup.capture_facts import ContentFacts
from safehold.plan.backup.facts import Leftovers, OriginalFacts
from safehold.plan.backup.group.holding import let_groups_go, take_marks_away
from safehold.plan.backup.group.steps import GroupStep
from safehold.plan.backup.memory_facts import RemoveMemoryDump
from safehold.plan.backup.steps import Delete, GiveUpVolume, SetPolicy
from safehold.plan.names import ORIGINAL_CONTENT, ORIGINAL_POLICY

CleanupStep = Delete | SetPolicy | GiveUpVolume | RemoveMemoryDump | GroupStep
"""All that a clean-up may do."""


def cleanup(found: Leftovers, kept: Collection[str] = ()) -> tuple[CleanupStep, ...]:
    """The next steps; none when nothing is left. Each stage waits until the one before it is gone.

    `kept` are names of pairs that become bases: they and their originals are left to `safehold.plan.backup.bases`.
    """
    # The marks first: they are on the VM's own claims, and nothing waits for them.
    return (*take_marks_away(found), *_stage(found, kept))


def _stage(found: Leftovers, kept: Collection[str]) -> tuple[CleanupStep, ...]:
    if found.jobs or found.pods:
        return tuple(Delete(kind="Job", name=name) for name in found.jobs)
    return _copies(found) or _pairs(found, kept) or _captures(found, kept)


def _copies(found: Leftovers) -> tuple[CleanupStep, ...]:
    """What the worker read from."""
    if found.pull_backups:
        # KubeVirt lets go of the scratch claim before its backup is gone, and uses it until then.
        return tuple(
            Delete(kind="VirtualMachineBackup", name=backup.name, namespace=backup.namespace, uid=backup.uid)
            for backup in found.pull_backups
        )
    if found.retained_volumes:
        # Before the claims: once they are gone, nothing tells any more whose these volumes are.
        return tuple(GiveUpVolume(name=volume.name, uid=volume.uid) for volume in found.retained_volumes)
    return tuple(Delete(kind="Claim", name=clone.name, uid=clone.uid) for clone in found.clones)


def _pairs(found: Leftovers, kept: Collection[str]) -> tuple[CleanupStep, ...]:
    snapshots = [snapshot for snapshot in found.pair_snapshots if snapshot.name not in kept]
    contents = [content for content in found.pair_contents if content.name not in kept]
    if not snapshots:
        return tuple(Delete(kind="VolumeSnapshotContent", name=content.name, uid=content.uid) for content in contents)
    last_owners = tuple(
        SetPolicy(content=content.name, uid=content.uid, policy="Delete")
        for content in contents
        if _is_last_owner(content, found) and content.policy != "Delete"
    )
    gone = (Delete(kind="VolumeSnapshot", name=snapshot.name, uid=snapshot.uid) for snapshot in snapshots)
    return (*last_owners, *gone)


def _captures(found: Leftovers, kept: Collection[str]) -> tuple[CleanupStep, ...]:
    """What the run made in the VM's namespace, and its Secrets."""
    under_bases = _originals_of(content for content in found.pair_contents if content.name in kept)
    return (
        *(
            step
            for original in found.originals
            if original.content.name not in under_bases
            for step in _let_go(original)
        ),
        *(
            Delete(kind="VirtualMachineSnapshot", name=snapshot.name, namespace=snapshot.namespace, uid=snapshot.uid)
            for snapshot in found.vm_snapshots
            if snapshot.deleted_at is None
        ),
        *(
            Delete(kind="VolumeSnapshot", name=snapshot.name, namespace=snapshot.namespace, uid=snapshot.uid)
            for snapshot in found.tenant_snapshots
        ),
        *let_groups_go(found),
        *_memory(found),
        *(Delete(kind="Secret", name=name) for name in found.secrets),
    )


def _memory(found: Leftovers) -> list[CleanupStep]:
    """A claim goes once no VM has it as a volume and no snapshot of it is there."""
    dumps: list[CleanupStep] = [
        RemoveMemoryDump(namespace=d.namespace, vm=d.vm, claim=d.claim) for d in found.memory_dumps
    ]
    attached = {(dump.namespace, dump.claim) for dump in found.memory_dumps}
    return dumps + [
        Delete(kind="Claim", name=claim.name, namespace=claim.namespace, uid=claim.uid)
        for claim in found.tenant_claims
        if (claim.namespace, claim.name) not in attached and not found.tenant_snapshots
    ]


def _originals_of(pairs: Iterable[ContentFacts]) -> set[str]:
    return {pair.annotations.get(ORIGINAL_CONTENT, "") for pair in pairs}


def _is_last_owner(content: ContentFacts, found: Leftovers) -> bool:
    """Whether our content is all that still knows a physical snapshot that should go.

    The held content was deleted by somebody while it said Retain: the driver's snapshot stayed.
    """
    original = content.annotations.get(ORIGINAL_CONTENT)
    gone = original not in {held.content.name for held in found.originals}
    return gone and content.annotations.get(ORIGINAL_POLICY) == "Delete"


def _let_go(original: OriginalFacts) -> tuple[CleanupStep, ...]:
    content = original.content
    back = SetPolicy(content=content.name, uid=content.uid, policy=original.policy, release=True)
    if original.snapshot_lives or original.policy == "Retain":
        return (back,)
    # Its snapshot is gone, and only Retain kept it: what it would have deleted then is deleted now.
    return (
        SetPolicy(content=content.name, uid=content.uid, policy="Delete"),
        Delete(kind="VolumeSnapshotContent", name=content.name, uid=content.uid),
    )
