"""Hand-over and swap on the storage stand-in: killed after every write, with claims deleted under it, they converge."""

import operator
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from safehold.api.restored_volumes import ClaimRecord, VolumeRestore
from safehold.errors import ConflictError
from safehold.kube.client import Cluster
from safehold.kube.jobs import WorkerPod
from safehold.kube.kinds import CLAIM, NAMESPACE, VOLUME
from safehold.kube.restore.hands import RestoreHands
from safehold.kube.restore.storage import claim_manifest, observe_claim, observe_handover, observe_volume
from safehold.plan.names import UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Mark
from safehold.plan.restore.steps import Step, Wait
from safehold.plan.restore.undo.reversal import hand_back, settle_back
from safehold.plan.restore.volumes.handover import Place, SeenVolume, hand_over, settle, take_back
from safehold.plan.storage import ClaimShape, NewClaim
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from sandbox.cluster.waiting import wait_until
from sandbox.csi.driver import volume_path
from sandbox.csi.service import running_storage

OPERATOR, TENANT = "safehold", "shop"
PLACE = Place(restore_uid="restore-uid", operator_namespace=OPERATOR, namespace=TENANT, vm="orders")
SHAPE = ClaimShape(storage_class="sandbox", mode="Block", access_modes=("ReadWriteOnce",), size_bytes=1 << 20)
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
class Storage:
    """A cluster with storage, the operator's client and hands, and the folder of the volumes' data."""

    cluster: Cluster
    sandbox: SandboxCluster
    root: Path

    @property
    def hands(self) -> RestoreHands:
        """The writes of a restore, all with the administrator's rights."""
        return RestoreHands(operator=self.cluster, tenant=self.cluster, namespace=TENANT, pod=POD)

    async def claim(self, namespace: str, name: str, content: bytes) -> VolumeRestore:
        """A bound claim whose volume begins with `content`; answers its volume as a record would name it."""
        new = NewClaim(namespace=namespace, name=name, shape=SHAPE, labels={"app": "orders"})
        await self.cluster.create(CLAIM, claim_manifest(new))
        await self._bound(namespace, name)
        found = await observe_claim(self.cluster, namespace, name)
        assert found is not None
        assert found.volume is not None
        with (await self._file(found.volume)).open("r+b") as disk:
            disk.write(content)
        return VolumeRestore(
            name="data",
            mode="Block",
            storage_class_name="sandbox",
            access_modes=["ReadWriteOnce"],
            capacity_bytes=1 << 20,
            prime_claim=name,
            prime_uid=found.ref.uid,
            persistent_volume=found.volume,
            reclaim_policy="Delete",
            claim_name=name,
            step=Mark.HANDING_OVER,
        )

    async def prepared(self, name: str, *, swap: bool) -> VolumeRestore:
        """A filled claim of the operator's, recorded; for a swap also the VM's claim with the old volume."""
        record = await self.claim(OPERATOR, f"prime-{name}", b"restored")
        record = record.model_copy(update={"claim_name": name})
        if not swap:
            return record
        old = await self.claim(TENANT, name, b"old")
        return record.model_copy(
            update={
                "old_persistent_volume": old.persistent_volume,
                "old_reclaim_policy": "Delete",
                "old_claim": ClaimRecord(uid=old.prime_uid or "", labels={"app": "orders"}),
            }
        )

    async def seen(self, record: VolumeRestore) -> SeenVolume:
        """What the planner is told."""
        return await observe_handover(self.cluster, record, operator_namespace=OPERATOR, namespace=TENANT)

    async def drive(self, record: VolumeRestore, *, writes: int | None = None) -> int:
        """Hand over and settle until done, or killed after so many writes; answers how many there were."""
        done = 0
        while writes is None or done < writes:
            seen = await self.seen(record)
            step: Step | Refusal | None = hand_over(record, seen, PLACE)
            if step is None:
                step = settle(record, seen)
            assert not isinstance(step, Refusal), step
            if step is None:
                return done
            if isinstance(step, Wait):
                await self._something_changes(record, seen)
                continue
            with suppress(ConflictError):  # the volume controller was faster: look again, as the operator does
                await self.hands.carry_out(step)
                done += 1
        return done

    async def drive_back(self, record: VolumeRestore, *, writes: int | None = None) -> int:
        """Undo a swap until done, or killed after so many writes; answers how many there were."""
        done = 0
        while writes is None or done < writes:
            seen = await self.seen(record)
            step: Step | Refusal | None = hand_back(record, seen, PLACE)
            if step is None:
                step = settle_back(record, seen)
            assert not isinstance(step, Refusal), step
            if step is None:
                return done
            if isinstance(step, Wait):
                await self._something_changes(record, seen)
                continue
            with suppress(ConflictError):
                await self.hands.carry_out(step)
                done += 1
        return done

    async def content(self, claim: str) -> bytes:
        """What the tenant's claim holds, once it is bound."""
        await self._bound(TENANT, claim)
        found = await observe_claim(self.cluster, TENANT, claim)
        assert found is not None
        return (await self._file(found.volume or "")).read_bytes()[:8].rstrip(b"\0")

    async def _file(self, volume: str) -> Path:
        found = await self.cluster.read(VOLUME, volume)
        return volume_path(self.root, found["spec"]["csi"]["volumeHandle"])

    async def _bound(self, namespace: str, name: str) -> None:
        await wait_until(
            self.sandbox,
            PERSISTENT_VOLUME_CLAIM,
            name,
            namespace,
            reached=lambda found: found is not None and (found.get("status") or {}).get("phase") == "Bound",
            timeout_seconds=180,
        )

    async def _something_changes(self, record: VolumeRestore, before: SeenVolume) -> None:
        """Wait for anything that the planner sees to be another than before."""
        for kind, name, namespace in (
            (PERSISTENT_VOLUME_CLAIM, record.claim_name, TENANT),
            (PERSISTENT_VOLUME, record.persistent_volume or "", None),
            (PERSISTENT_VOLUME, record.old_persistent_volume or "none", None),
            (PERSISTENT_VOLUME_CLAIM, record.prime_claim, OPERATOR),
        ):
            if await self.seen(record) != before:
                return
            last = await self.sandbox.get(kind, name, namespace)
            with suppress(TimeoutError):
                await wait_until(
                    self.sandbox, kind, name, namespace, reached=partial(operator.ne, last), timeout_seconds=2
                )


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """Storage on an API server of its own, with the real resync of 15 seconds: binding needs the poke."""
    with running_api_server(tmp_path / "api") as server:
        root = tmp_path / "csi"
        async with (
            running_storage(server.kubeconfig, root),
            Cluster.connect(server.kubeconfig) as cluster,
            SandboxCluster.connect(server.kubeconfig, "tests") as sandbox,
        ):
            for name in (OPERATOR, TENANT):
                await cluster.create(NAMESPACE, {"metadata": {"name": name}})
            yield Storage(cluster, sandbox, root)


async def assert_handed_over(storage: Storage, record: VolumeRestore) -> None:
    """The claim has the restored data under policy Delete, the filling claim is gone, the old volume is kept."""
    assert await storage.content(record.claim_name) == b"restored"
    seen = await storage.seen(record)
    assert seen.prime is None
    assert seen.volume is not None
    assert seen.claim is not None
    assert (seen.volume.reclaim_policy, seen.volume.claim) == ("Delete", seen.claim.ref)
    if record.old_persistent_volume:
        assert seen.claim.labels["app"] == "orders"
        assert seen.old is not None
        assert (seen.old.reclaim_policy, seen.old.labels[UNDO_OF]) == ("Retain", "restore-uid")
        assert (await storage._file(record.old_persistent_volume)).read_bytes().startswith(b"old")


@pytest.mark.parametrize("swap", [False, True], ids=["hand-over", "swap"])
async def test_it_converges_when_it_is_killed_after_any_write(storage: Storage, swap: bool) -> None:
    """Killed after each of its writes, and with prime or new claim deleted by somebody then, it ends well."""
    whole = await storage.prepared("whole", swap=swap)
    writes = await storage.drive(whole)
    await assert_handed_over(storage, whole)
    assert writes >= 6
    for killed_after in range(1, writes):
        for damage in ("none", "prime", "claim"):
            record = await storage.prepared(f"k{killed_after}-{damage}", swap=swap)
            await storage.drive(record, writes=killed_after)
            seen = await storage.seen(record)
            if damage == "prime" and seen.prime is not None:
                await storage.cluster.delete(CLAIM, record.prime_claim, OPERATOR)
            if damage == "claim" and seen.claim is not None and seen.claim.volume == record.persistent_volume:
                if seen.volume is not None and seen.volume.reclaim_policy == "Delete":
                    continue  # handed over already: then it is the tenant's to delete
                await storage.cluster.delete(CLAIM, record.claim_name, TENANT)
            await storage.drive(record)
            await assert_handed_over(storage, record)


async def test_an_undo_converges_when_it_is_killed_after_any_write(storage: Storage) -> None:
    """Killed after each write, and with the new claim deleted then, the old data is back; both volumes live."""
    whole = await storage.prepared("undone", swap=True)
    await storage.drive(whole)
    writes = await storage.drive_back(whole)
    await assert_undone(storage, whole)
    assert writes >= 5
    for killed_after in range(1, writes):
        for damage in ("none", "claim"):
            record = await storage.prepared(f"u{killed_after}-{damage}", swap=True)
            await storage.drive(record)
            await storage.drive_back(record, writes=killed_after)
            seen = await storage.seen(record)
            is_new = seen.claim is not None and seen.claim.volume == record.old_persistent_volume
            if damage == "claim" and is_new:
                if seen.old is not None and seen.old.reclaim_policy == "Delete":
                    continue  # it is back already: then it is the tenant's to delete
                await storage.cluster.delete(CLAIM, record.claim_name, TENANT)
            await storage.drive_back(record)
            await assert_undone(storage, record)


async def assert_undone(storage: Storage, record: VolumeRestore) -> None:
    """The claim has the old data under policy Delete and without marks; the restored volume is kept."""
    assert await storage.content(record.claim_name) == b"old"
    seen = await storage.seen(record)
    assert seen.old is not None
    assert seen.claim is not None
    assert seen.volume is not None
    assert (seen.old.reclaim_policy, seen.old.claim, UNDO_OF in seen.old.labels) == ("Delete", seen.claim.ref, False)
    assert seen.claim.labels["app"] == "orders"
    assert (seen.volume.reclaim_policy, seen.volume.labels[UNDO_OF]) == ("Retain", "restore-uid")
    assert (await storage._file(record.persistent_volume or "")).read_bytes().startswith(b"restored")


@pytest.mark.parametrize("retains", [False, True])
async def test_what_is_taken_back_leaves_nothing(storage: Storage, retains: bool) -> None:
    """Taken back after any write of a hand-over, claims and volume go, also where the class retains volumes."""
    for killed_after in range(5):
        record = await storage.prepared(f"t{killed_after}", swap=False)
        if retains:
            patch = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
            await storage.cluster.merge_patch(VOLUME, record.persistent_volume or "", None, patch)
        await storage.drive(record, writes=killed_after)
        for _ in range(50):
            seen = await storage.seen(record)
            step = take_back(record, seen, PLACE)
            if step is None:
                break
            if isinstance(step, Wait):
                await storage._something_changes(record, seen)
            await storage.hands.carry_out(step)
        name = record.persistent_volume or ""
        await wait_until(
            storage.sandbox, PERSISTENT_VOLUME, name, None, reached=lambda found: found is None, timeout_seconds=180
        )
        seen = await storage.seen(record)
        assert (seen.prime, seen.claim, await observe_volume(storage.cluster, name)) == (None, None, None)
