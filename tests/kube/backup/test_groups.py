"""Our own group snapshot on the storage stand-in: marked, cut, seen, trusted, held, and taken back."""

from collections.abc import Sequence
from functools import partial

import pytest
from tests.kube.backup.test_fallback import MACHINE, created
from tests.kube.backup.test_pairs import OPERATOR, TENANT, Bench, bench, until

from safehold.api import VMBackup
from safehold.api.capture import SnapshotHandle
from safehold.api.fallback import FallbackCapture, FallbackGroup, FallbackVolume
from safehold.kube.backup.claims import observe_claim
from safehold.kube.backup.fallback import observe_fallback
from safehold.kube.backup.group.kinds import kinds_of
from safehold.kube.backup.group.observer import observe_group, observe_group_capture, observe_offer
from safehold.kube.backup.leftovers import observe_leftovers, owners_of_leftovers
from safehold.kube.backup.removal import remove_leftovers
from safehold.kube.client import Manifest
from safehold.kube.kinds import CLAIM, VOLUME_SNAPSHOT
from safehold.plan.backup.capture_facts import CaptureFacts, ClaimFacts, SnapshotFacts
from safehold.plan.backup.cleanup import cleanup
from safehold.plan.backup.group.choice import choose_group
from safehold.plan.backup.group.facts import GroupFacts
from safehold.plan.backup.group.steps import CutGroup, HoldGroup, SelectedClaim, UnmarkClaim
from safehold.plan.backup.trust import refuse_swapped, trusted_handle
from safehold.plan.names import GROUP_MARK, owner_labels
from sandbox.csi.names import DRIVER

__all__ = ["bench"]
KINDS = kinds_of("v1")


async def offered(bench: Bench, policy: str = "Delete") -> None:
    """A class for groups of the sandbox's driver."""
    manifest = {"metadata": {"name": "together"}, "driver": DRIVER, "deletionPolicy": policy}
    await bench.cluster.create(KINDS.snapshot_class, manifest)


async def two_claims(bench: Bench) -> list[ClaimFacts]:
    """`data`, which is there, and `logs`."""
    found = await bench.cluster.read(CLAIM, "data", TENANT)
    spec = {key: value for key, value in found["spec"].items() if key != "volumeName"}
    await bench.cluster.create(CLAIM, {"metadata": {"name": "logs", "namespace": TENANT}, "spec": spec})
    return [await until(partial(observe_claim, bench.cluster, TENANT, name)) for name in ("data", "logs")]


async def falling_back(bench: Bench, claims: Sequence[ClaimFacts]) -> VMBackup:
    """A VMBackup that has recorded a group of these claims."""
    backup = await created(bench)
    offer = await observe_offer(bench.cluster, enabled=True)
    group = choose_group(claims, offer, backup=backup.metadata.name, backup_uid=backup.metadata.uid)
    assert isinstance(group, FallbackGroup), group
    volumes = [
        FallbackVolume(name=claim.name, claim_name=claim.name, claim_uid=claim.uid, class_name="sandbox")
        for claim in claims
    ]
    assert backup.metadata.creation_timestamp is not None
    fallback = FallbackCapture(
        reason="deadline", start_time=backup.metadata.creation_timestamp, volumes=volumes, group=group
    )
    return backup.model_copy(update={"status": backup.status.model_copy(update={"fallback": fallback})})


def labels_of(backup: VMBackup) -> dict[str, str]:
    """What all children of the run carry."""
    return owner_labels("VMBackup", backup.metadata.uid, name=backup.metadata.name, namespace=TENANT, vm="db")


def cutting(backup: VMBackup) -> CutGroup:
    """The step that makes what is recorded."""
    fallback = backup.status.fallback
    assert fallback is not None
    assert fallback.group is not None
    return CutGroup(
        namespace=TENANT,
        backup=backup.metadata.name,
        backup_uid=backup.metadata.uid,
        name=fallback.group.name,
        class_name=fallback.group.class_name,
        claims=tuple(SelectedClaim(volume.claim_name, volume.claim_uid) for volume in fallback.volumes),
        labels=labels_of(backup),
    )


async def group_of(bench: Bench, backup: VMBackup) -> GroupFacts:
    """The group as it is seen now."""
    assert backup.status.fallback is not None
    assert backup.status.fallback.group is not None
    return await observe_group(bench.cluster, TENANT, backup.metadata.uid, backup.status.fallback.group)


async def readable(bench: Bench, backup: VMBackup) -> tuple[SnapshotFacts, CaptureFacts]:
    """The members once they can be read."""
    fallback = backup.status.fallback
    assert fallback is not None

    async def look() -> tuple[SnapshotFacts, CaptureFacts] | None:
        found = await observe_group_capture(bench.cluster, backup, fallback, await group_of(bench, backup))
        return (found, found.capture) if found and found.ready and found.succeeded and found.capture else None

    return await until(look)


async def test_what_a_group_could_be_taken_with_is_seen(bench: Bench) -> None:
    """No class, a class, and an installation that does not want groups."""
    assert (await observe_offer(bench.cluster, enabled=True)).classes == ()
    await offered(bench)
    (found,) = (await observe_fallback(bench.cluster, TENANT, MACHINE, groups_enabled=True)).groups.classes
    assert (found.name, found.driver, found.default, found.policy) == ("together", DRIVER, False, "Delete")
    assert "switched off" in (await observe_offer(bench.cluster, enabled=False)).obstacle


async def test_members_are_found_by_their_group_and_trusted(bench: Bench) -> None:
    """Each volume has its member, matched by the volume that was cut; asked for twice it is cut once."""
    await offered(bench)
    claims = await two_claims(bench)
    backup = await falling_back(bench, claims)
    cuts = await bench.snapshots_on_disk()
    for _ in range(2):
        await bench.hands.carry_out(cutting(backup))
    assert {claim.name for claim in (await group_of(bench, backup)).marked} == {"data", "logs"}
    found, captured = await readable(bench, backup)
    assert refuse_swapped(captured, cut=True) is None
    for volume in captured.volumes:
        handle = trusted_handle(volume, capture_uid=captured.uid, namespace=TENANT, backup_uid=backup.metadata.uid)
        assert isinstance(handle, SnapshotHandle), handle
    content = (await group_of(bench, backup)).content
    assert content is not None
    assert captured.cut_time == content.cut_at is not None
    assert set(content.volume_handles) == {claim.volume_handle for claim in claims}
    assert found.uid == captured.uid
    assert await bench.snapshots_on_disk() == cuts + 2


async def test_our_mark_is_ours_alone(bench: Bench) -> None:
    """It is no label of the claim's that a restore point would keep, and nobody else's mark is taken away."""
    await offered(bench)
    backup = await falling_back(bench, await two_claims(bench))
    await bench.hands.carry_out(cutting(backup))
    marked = await observe_claim(bench.cluster, TENANT, "data")
    assert marked is not None
    assert (marked.mark, GROUP_MARK in marked.labels) == (backup.metadata.uid, False)
    for uid in ("another-run", backup.metadata.uid):
        await bench.hands.carry_out(UnmarkClaim(namespace=TENANT, name="data", backup_uid=uid))
        left = await observe_claim(bench.cluster, TENANT, "data")
        assert left is not None
        assert left.mark == (backup.metadata.uid if uid == "another-run" else None)


async def test_a_snapshot_that_a_tenant_gave_to_the_group_is_no_member(bench: Bench) -> None:
    """Its owner says so, its content was not cut with the group."""
    await offered(bench)
    backup = await falling_back(bench, await two_claims(bench))
    await bench.hands.carry_out(cutting(backup))
    found, captured = await readable(bench, backup)
    spec = {"source": {"persistentVolumeClaimName": "data"}}
    forged: Manifest = {"metadata": {"name": "a-forged-one", "namespace": TENANT}, "spec": spec}
    await bench.cluster.create(VOLUME_SNAPSHOT, forged)

    async def cut() -> bool:
        found = await bench.cluster.read(VOLUME_SNAPSHOT, "a-forged-one", TENANT)
        return bool((found.get("status") or {}).get("readyToUse"))

    await until(cut)
    owner = {"apiVersion": KINDS.snapshot.api_version, "kind": "VolumeGroupSnapshot"}
    owned = {"metadata": {"ownerReferences": [{**owner, "name": found.name, "uid": found.uid}]}}
    await bench.cluster.merge_patch(VOLUME_SNAPSHOT, "a-forged-one", TENANT, owned)
    _, again = await readable(bench, backup)
    assert again == captured


async def test_a_held_group_outlives_its_deletion_and_goes_with_the_run(bench: Bench) -> None:
    """A tenant deletes the group under the worker: the data stays until the run lets go, then nothing is left."""
    await offered(bench)
    backup = await falling_back(bench, await two_claims(bench))
    cuts = await bench.snapshots_on_disk()
    await bench.hands.carry_out(cutting(backup))
    await readable(bench, backup)
    facts = await group_of(bench, backup)
    assert facts.content is not None
    assert facts.snapshot is not None
    hold = HoldGroup(
        content=facts.content.name,
        resource_version=facts.content.resource_version,
        policy="Delete",
        labels=labels_of(backup),
    )
    await bench.hands.carry_out(hold)
    await bench.cluster.delete(KINDS.snapshot, facts.snapshot.name, TENANT)

    async def gone() -> bool:
        return (await group_of(bench, backup)).snapshot is None

    await until(gone)
    assert await bench.snapshots_on_disk() == cuts + 2
    await let_go(bench, backup, cuts)
    assert await bench.cluster.get(KINDS.content, facts.content.name) is None


@pytest.mark.parametrize("marked_only", [True, False])
async def test_what_a_run_that_is_gone_left_is_swept(bench: Bench, marked_only: bool) -> None:
    """Marks without a group as well: they are found by their value, in all namespaces, and the claims stay."""
    await offered(bench)
    backup = await falling_back(bench, await two_claims(bench))
    uid, cuts = backup.metadata.uid, await bench.snapshots_on_disk()
    if marked_only:
        await bench.cluster.merge_patch(CLAIM, "data", TENANT, {"metadata": {"labels": {GROUP_MARK: uid}}})
    else:
        await bench.hands.carry_out(cutting(backup))
        await readable(bench, backup)
    assert uid in await owners_of_leftovers(bench.cluster, operator_namespace=OPERATOR, groups=True)
    assert await remove_leftovers(bench.cluster, uid, operator_namespace=OPERATOR, pulls=False, groups=True)
    assert uid not in await owners_of_leftovers(bench.cluster, operator_namespace=OPERATOR, groups=True)
    assert {claim["metadata"]["name"] for claim in await bench.cluster.list(CLAIM, TENANT)} == {"data", "logs"}
    await let_go(bench, backup, cuts)


async def let_go(bench: Bench, backup: VMBackup, cuts: int) -> None:
    """Clean up until no leftover and no physical snapshot is there."""
    group = backup.status.fallback.group if backup.status.fallback else None

    async def nothing() -> bool:
        found = await observe_leftovers(
            bench.cluster, backup.metadata.uid, operator_namespace=OPERATOR, namespace=TENANT, groups=True, group=group
        )
        steps = cleanup(found)
        for step in steps:
            await bench.hands.carry_out(step)
        return not steps and await bench.snapshots_on_disk() == cuts

    await until(nothing)
