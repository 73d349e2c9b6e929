"""In which order a run's objects go, and who deletes a physical snapshot that nobody else knows any more."""

from dataclasses import replace
from datetime import UTC, datetime

from safehold.plan.backup.capture_facts import ContentFacts, ContentPolicy, VolumeSnapshotFacts
from safehold.plan.backup.cleanup import cleanup
from safehold.plan.backup.facts import CloneFacts, Leftovers, OriginalFacts, RetainedVolume, VMSnapshotRef
from safehold.plan.backup.memory_facts import MemoryDumpRef, TenantObject
from safehold.plan.backup.steps import Delete, SetPolicy
from safehold.plan.job import PodFacts
from safehold.plan.names import ORIGINAL_CONTENT, ORIGINAL_POLICY

DELETED = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def content(name: str, policy: ContentPolicy = "Retain") -> ContentFacts:
    """A content, marked as the plan marks it."""
    return ContentFacts(
        name=name,
        uid=f"uid-{name}",
        resource_version="1",
        driver="csi.example",
        handle="handle",
        policy=policy,
        snapshot_namespace="safehold",
        snapshot_name=name,
        snapshot_uid="vs",
        deleting=False,
        annotations={ORIGINAL_POLICY: "Delete", ORIGINAL_CONTENT: "original"},
    )


def original(policy: ContentPolicy = "Delete", *, lives: bool = True) -> OriginalFacts:
    """A held content of KubeVirt's."""
    return OriginalFacts(content=content("original"), policy=policy, snapshot_lives=lives)


PAIR_SNAPSHOT = VolumeSnapshotFacts(
    name="pair",
    namespace="safehold",
    uid="vs",
    ready=True,
    deleting=False,
    content="pair",
    claim=None,
    owner_uid=None,
)
EVERYTHING = Leftovers(
    jobs=("job",),
    pods=(PodFacts(name="pod"),),
    retained_volumes=(RetainedVolume(name="pv", uid="pv-uid"),),
    clones=(CloneFacts(name="clone", uid="clone-uid", bound=True, deleting=False),),
    pair_snapshots=(PAIR_SNAPSHOT,),
    pair_contents=(content("pair"),),
    originals=(original(),),
    memory_dumps=(MemoryDumpRef(namespace="shop", vm="db", claim="dump"),),
    tenant_snapshots=(TenantObject(namespace="shop", name="dump", uid="dump-vs"),),
    tenant_claims=(TenantObject(namespace="shop", name="dump", uid="dump-claim"),),
    vm_snapshots=(VMSnapshotRef(namespace="shop", name="snap", uid="snap-uid", deleted_at=None),),
    secrets=("secret",),
)


def test_each_stage_waits_for_the_one_before() -> None:
    """Job and pods, volumes and claims, the pair, then the original and all in the VM's namespace, and Secrets.

    The claim of a memory dump goes last: KubeVirt has to let it go, and its snapshot must be gone.
    """
    stages = [
        {},
        {"jobs": ()},
        {"pods": ()},
        {"retained_volumes": ()},
        {"clones": ()},
        {"pair_snapshots": ()},
        {"pair_contents": ()},
        {"originals": (), "vm_snapshots": (), "secrets": ()},
        {"memory_dumps": ()},
        {"tenant_snapshots": ()},
    ]
    found, kinds = EVERYTHING, []
    for gone in stages:
        found = replace(found, **gone)
        kinds.append([step.kind if isinstance(step, Delete) else type(step).__name__ for step in cleanup(found)])
    assert kinds == [
        ["Job"],
        [],  # the Job is gone, its pod still holds the claim
        ["GiveUpVolume"],
        ["Claim"],
        ["VolumeSnapshot"],
        ["VolumeSnapshotContent"],
        ["SetPolicy", "VirtualMachineSnapshot", "VolumeSnapshot", "RemoveMemoryDump", "Secret"],
        ["VolumeSnapshot", "RemoveMemoryDump"],
        ["VolumeSnapshot"],
        ["Claim"],
    ]


def test_nothing_left_needs_no_step() -> None:
    """A run that left nothing is clean."""
    assert cleanup(Leftovers()) == ()


def test_the_original_gets_its_policy_back() -> None:
    """While its VolumeSnapshot lives, the content is given back to KubeVirt as it was, and forgets the hold."""
    assert cleanup(Leftovers(originals=(original("Delete"),))) == (
        SetPolicy(content="original", uid="uid-original", policy="Delete", release=True),
    )


def test_an_original_without_its_snapshot_is_deleted_for_its_owner() -> None:
    """The tenant's deletion, which only Retain held back, is done now: the content goes with what it holds."""
    assert cleanup(Leftovers(originals=(original("Delete", lives=False),))) == (
        SetPolicy(content="original", uid="uid-original", policy="Delete"),
        Delete(kind="VolumeSnapshotContent", name="original", uid="uid-original"),
    )


def test_a_snapshot_that_its_class_retains_is_never_deleted() -> None:
    """With Retain as the original policy nothing physical is deleted, whatever happened to the VolumeSnapshot."""
    for lives in (True, False):
        (step,) = cleanup(Leftovers(originals=(original("Retain", lives=lives),)))
        assert step == SetPolicy(content="original", uid="uid-original", policy="Retain", release=True)


def test_ours_deletes_the_physical_snapshot_when_it_is_the_last_that_knows_it() -> None:
    """The held content was deleted by somebody while it said Retain: our pair takes the driver's snapshot along."""
    found = Leftovers(pair_snapshots=(PAIR_SNAPSHOT,), pair_contents=(content("pair"),))
    first, second = cleanup(found)
    assert first == SetPolicy(content="pair", uid="uid-pair", policy="Delete")
    assert second == Delete(kind="VolumeSnapshot", name="pair", uid="vs")


def test_ours_never_deletes_beside_a_living_original() -> None:
    """At any moment at most one content may delete a handle."""
    found = Leftovers(
        pair_snapshots=(PAIR_SNAPSHOT,), pair_contents=(content("pair"),), originals=(original("Delete"),)
    )
    assert cleanup(found) == (Delete(kind="VolumeSnapshot", name="pair", uid="vs"),)


def test_a_snapshot_that_others_hold_is_not_waited_for() -> None:
    """A tenant's finalizer on KubeVirt's snapshot holds up nobody but the tenant."""
    held = VMSnapshotRef(namespace="shop", name="snap", uid="snap-uid", deleted_at=DELETED)
    assert cleanup(Leftovers(vm_snapshots=(held,))) == ()
