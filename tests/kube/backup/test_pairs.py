"""Pairs on the storage stand-in: another namespace's snapshot is read through them, and everything goes again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest

from safehold.api.capture import SnapshotHandle
from safehold.kube.backup.claims import observe_claim, observe_clone
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.hands import BackupHands
from safehold.kube.backup.hooks import HookRuns, OperatorAccount
from safehold.kube.backup.leftovers import observe_leftovers
from safehold.kube.backup.snapshots import read_content, read_volume_snapshot
from safehold.kube.client import Cluster
from safehold.kube.jobs import WorkerPod
from safehold.kube.kinds import CLAIM, NAMESPACE, VOLUME, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT
from safehold.plan.backup.capture_facts import ContentFacts
from safehold.plan.backup.cleanup import cleanup
from safehold.plan.backup.facts import HoldFacts, Leftovers
from safehold.plan.backup.steps import CreateClone, CreatePair, HoldContent, RebindPair, SetPolicy
from safehold.plan.names import ORIGINAL_CONTENT, ORIGINAL_POLICY, owner_labels
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.driver import volume_path
from sandbox.csi.service import running_storage
from sandbox.kubevirt.api.definitions import DEFINITIONS

Found = TypeVar("Found")
OPERATOR, TENANT, UID = "safehold", "shop", "backup-uid"
LABELS = owner_labels("VMBackup", UID, name="db-1", namespace=TENANT, vm="db")
POD = WorkerPod(
    namespace=OPERATOR,
    image="safehold",
    command=(),
    service_account="worker",
    changed_blocks_account="safehold-changed-blocks",
    cpu_request="1",
    memory_request="1Mi",
    memory_limit="1Mi",
    deadline_seconds=60,
    backoff_limit=0,
)


@dataclass(frozen=True)
class Bench:
    """A cluster with storage, the operator's hands, and one snapshot of the tenant's."""

    cluster: Cluster
    root: Path
    hands: BackupHands
    handle: SnapshotHandle

    async def original(self) -> ContentFacts | None:
        """KubeVirt's content."""
        return await read_content(self.cluster, self.handle.content)

    async def hold(self) -> None:
        """Retain the original."""
        found = await self.original()
        assert found is not None
        await self.hands.carry_out(
            HoldContent(content=found.name, resource_version=found.resource_version, policy=found.policy, labels=LABELS)
        )

    async def pair(self) -> HoldFacts:
        """Make the pair, and wait until it is bound."""
        annotations = {ORIGINAL_POLICY: "Delete", ORIGINAL_CONTENT: self.handle.content}
        await self.hands.carry_out(CreatePair(handle=self.handle, annotations=annotations, labels=LABELS))

        async def bound() -> HoldFacts | None:
            facts = HoldFacts(
                volume="data",
                original=await self.original(),
                content=await read_content(self.cluster, self.handle.pair_name),
                snapshot=await read_volume_snapshot(self.cluster, self.handle.pair_name, OPERATOR),
                clone=None,
            )
            assert facts.content is not None
            assert facts.snapshot is not None
            return facts if facts.snapshot.ready and facts.content.snapshot_uid == facts.snapshot.uid else None

        return await until(bound)

    async def clone(self) -> bytes:
        """Make the claim from the pair; answers what its volume begins with."""
        clone = CreateClone(
            name=self.handle.claim_name,
            pair=self.handle.pair_name,
            mode="Block",
            size_bytes=self.handle.restore_size_bytes,
            storage_class="sandbox",
            access_modes=("ReadWriteOnce",),
            labels=LABELS,
        )
        await self.hands.carry_out(clone)

        async def bound() -> bool:
            found = await observe_clone(self.cluster, OPERATOR, self.handle.claim_name)
            return found is not None and found.bound

        await until(bound)
        return await self.content_of(self.handle.claim_name, OPERATOR)

    async def content_of(self, claim: str, namespace: str) -> bytes:
        """What a claim's volume begins with."""
        facts = await observe_claim(self.cluster, namespace, claim)
        assert facts is not None
        return await asyncio.to_thread(lambda: volume_path(self.root, facts.volume_handle).read_bytes()[:8])

    async def leftovers(self) -> Leftovers:
        """What there is of the run."""
        return await observe_leftovers(
            self.cluster, UID, operator_namespace=OPERATOR, namespace=TENANT, handles=[self.handle]
        )

    async def clean(self) -> None:
        """Clean up until nothing is left."""

        async def nothing() -> bool:
            found = await self.leftovers()
            for step in cleanup(found):
                await self.hands.carry_out(step)
            return found == Leftovers()

        await until(nothing)

    async def snapshots_on_disk(self) -> int:
        """Physical snapshots that the driver keeps."""
        return await asyncio.to_thread(lambda: len(list((self.root / "snapshots").iterdir())))


async def until(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """Look again and again until something is found."""
    async with asyncio.timeout(180):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.05)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Storage with a tenant's volume that begins with `original`, and a snapshot of it."""
    with running_api_server(tmp_path / "api") as server:
        root = tmp_path / "csi"
        async with (
            SandboxCluster.connect(server.kubeconfig, "tests") as sandbox,
            running_storage(server.kubeconfig, root),
            Cluster.connect(server.kubeconfig) as cluster,
        ):
            await install_definitions(sandbox, DEFINITIONS)
            for name in (OPERATOR, TENANT):
                await cluster.create(NAMESPACE, {"metadata": {"name": name}})
            hands = BackupHands(
                cluster=cluster,
                pod=POD,
                freezes=FreezeWatches(cluster),
                hooks=HookRuns(cluster, OperatorAccount(namespace="safehold", name="safehold"), wake=lambda *_: None),
            )
            yield Bench(cluster, root, hands, await _snapshot(cluster, root))


async def _snapshot(cluster: Cluster, root: Path) -> SnapshotHandle:
    claim = {
        "metadata": {"name": "data", "namespace": TENANT},
        "spec": {
            "storageClassName": "sandbox",
            "volumeMode": "Block",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }
    await cluster.create(CLAIM, claim)
    facts = await until(lambda: observe_claim(cluster, TENANT, "data"))

    def write() -> None:
        with volume_path(root, facts.volume_handle).open("r+b") as disk:
            disk.write(b"original")

    await asyncio.to_thread(write)
    spec = {"source": {"persistentVolumeClaimName": "data"}}
    await cluster.create(VOLUME_SNAPSHOT, {"metadata": {"name": "vs", "namespace": TENANT}, "spec": spec})
    handle, content = await until(lambda: _recorded(cluster))
    assert content.source_volume_handle == facts.volume_handle
    return handle


async def _recorded(cluster: Cluster) -> tuple[SnapshotHandle, ContentFacts] | None:
    """The record of the tenant's snapshot, once it is ready."""
    found = await read_volume_snapshot(cluster, "vs", TENANT)
    if found is None or not found.ready or not found.content:
        return None
    content = await read_content(cluster, found.content)
    assert content is not None
    handle = SnapshotHandle(
        volume="data",
        volume_snapshot=found.name,
        volume_snapshot_uid=found.uid,
        content=content.name,
        content_uid=content.uid,
        driver=content.driver,
        snapshot_handle=content.handle or "",
        class_name=content.class_name,
        original_deletion_policy=content.policy,
        source_volume_mode=content.source_mode,
        restore_size_bytes=content.restore_size_bytes,
        pair_name="safehold-data-pair",
        claim_name="safehold-data-clone",
    )
    return handle, content


async def test_a_clone_holds_what_was_cut_and_everything_goes_again(bench: Bench) -> None:
    """Held, paired and cloned, the volume reads as cut; afterwards the tenant's snapshot is as it was."""
    before = await bench.original()
    assert before is not None
    await bench.hold()
    await bench.pair()
    assert await bench.clone() == b"original"
    held = await bench.original()
    assert held is not None
    assert held.policy == "Retain"
    await bench.clean()
    after = await bench.original()
    assert after is not None
    assert replace(after, resource_version=before.resource_version) == before
    assert await bench.snapshots_on_disk() == 1


def _uids(hold: HoldFacts) -> tuple[str, str]:
    assert hold.content is not None
    assert hold.snapshot is not None
    return hold.content.uid, hold.snapshot.uid


async def test_each_write_may_be_repeated(bench: Bench) -> None:
    """Holding, pairing and cloning twice changes nothing."""
    for _ in range(2):
        await bench.hold()
    first, second = await bench.pair(), await bench.pair()
    assert _uids(second) == _uids(first)
    assert await bench.clone() == await bench.clone()


async def test_a_tenant_who_deletes_the_snapshot_neither_stops_the_reading_nor_leaves_it_behind(bench: Bench) -> None:
    """Retain keeps the physical snapshot for the run; cleaning up does the tenant's deletion in the end."""
    await bench.hold()
    await bench.pair()
    await bench.cluster.delete(VOLUME_SNAPSHOT, "vs", TENANT)

    async def gone() -> bool:
        return await read_volume_snapshot(bench.cluster, "vs", TENANT) is None

    await until(gone)
    assert await bench.clone() == b"original"
    await bench.clean()
    assert await bench.original() is None
    assert await bench.snapshots_on_disk() == 0


async def test_an_original_that_was_deleted_under_retain_leaves_no_physical_snapshot(bench: Bench) -> None:
    """Somebody deletes the held content itself: our pair is the last that knows the handle, and takes it along."""
    await bench.hold()
    await bench.pair()
    await bench.cluster.delete(VOLUME_SNAPSHOT, "vs", TENANT)
    await bench.cluster.delete(VOLUME_SNAPSHOT_CONTENT, bench.handle.content)

    async def gone() -> bool:
        return await bench.original() is None

    await until(gone)
    assert await bench.snapshots_on_disk() == 1
    await bench.clean()
    assert await bench.snapshots_on_disk() == 0


async def test_a_lost_snapshot_of_ours_is_bound_again(bench: Bench) -> None:
    """Somebody deletes our VolumeSnapshot: made anew, it binds once the content's stale uid is cleared."""
    await bench.hold()
    await bench.pair()
    await bench.cluster.delete(VOLUME_SNAPSHOT, bench.handle.pair_name, OPERATOR)

    async def gone() -> bool:
        return await read_volume_snapshot(bench.cluster, bench.handle.pair_name, OPERATOR) is None

    await until(gone)
    await bench.hands.carry_out(CreatePair(handle=bench.handle, annotations={}, labels=LABELS))
    stale = await read_content(bench.cluster, bench.handle.pair_name)
    assert stale is not None
    await bench.hands.carry_out(RebindPair(content=stale.name, resource_version=stale.resource_version))
    await bench.pair()
    assert await bench.clone() == b"original"


async def test_a_hold_whose_labels_were_taken_away_is_still_undone(bench: Bench) -> None:
    """The record in the status finds the content that the labels no longer show."""
    await bench.hold()
    labels = dict.fromkeys(LABELS)
    await bench.cluster.merge_patch(
        VOLUME_SNAPSHOT_CONTENT, bench.handle.content, None, {"metadata": {"labels": labels}}
    )
    (held,) = (await bench.leftovers()).originals
    assert (held.content.name, held.policy) == (bench.handle.content, "Delete")
    await bench.hands.carry_out(
        SetPolicy(content=held.content.name, uid=held.content.uid, policy=held.policy, release=True)
    )
    assert await bench.leftovers() == Leftovers()


async def test_a_persistent_volume_says_which_driver_and_volume_it_is(bench: Bench) -> None:
    """A claim's facts come from its volume: driver, handle and capacity; an unbound claim has none."""
    facts = await observe_claim(bench.cluster, TENANT, "data")
    assert facts is not None
    (volume,) = await bench.cluster.list(VOLUME)
    assert (facts.driver, facts.volume_handle) == (
        volume["spec"]["csi"]["driver"],
        volume["spec"]["csi"]["volumeHandle"],
    )
    assert (facts.mode, facts.capacity_bytes, facts.storage_class) == ("Block", 1 << 20, "sandbox")
    assert await observe_claim(bench.cluster, TENANT, "nothing") is None
