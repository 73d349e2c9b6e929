"""A guest that is thawed before its last volume was cut: what the watch of its freeze makes of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.kube.backup.test_freezes import guest

from safehold.kube.backup import freezes
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM, VM_SNAPSHOT, VM_SNAPSHOT_CONTENT, VMI, VOLUME_SNAPSHOT
from sandbox.apiserver import EmbeddedApiServer
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.manifests import DEFINITIONS

VOLUMES = ("root", "data")


@dataclass(frozen=True)
class Capture:
    """A VirtualMachineSnapshot of `db` with two volumes that nobody cuts, and the watch of the guest's freeze."""

    cluster: Cluster
    namespace: str
    watches: FreezeWatches

    async def make(self) -> None:
        """The snapshot, its content and its VolumeSnapshots, as KubeVirt makes them."""
        source = {"apiGroup": VM.group, "kind": VM.kind, "name": "db"}
        snapshot = await self.cluster.create(VM_SNAPSHOT, self.manifest("snap", {"source": source}))
        uid = snapshot["metadata"]["uid"]
        backups = [_volume_backup(uid, volume) for volume in VOLUMES]
        machine = {"metadata": {"name": "db"}, "spec": {"template": {"spec": {"domain": {}}}}}
        spec = {"source": {"virtualMachine": machine}, "virtualMachineSnapshotName": "snap", "volumeBackups": backups}
        await self.cluster.create(VM_SNAPSHOT_CONTENT, self.manifest(f"vmsnapshot-content-{uid}", spec))
        for backup in backups:
            cut = {"source": {"persistentVolumeClaimName": "claim"}}
            await self.cluster.create(VOLUME_SNAPSHOT, self.manifest(backup["volumeSnapshotName"], cut))

    async def cut(self, *volumes: str) -> None:
        """The driver has cut these volumes."""
        uid = (await self.cluster.read(VM_SNAPSHOT, "snap", self.namespace))["metadata"]["uid"]
        for volume in volumes:
            name = _volume_backup(uid, volume)["volumeSnapshotName"]
            status = {"status": {"creationTime": "2026-11-22T09:00:00Z", "readyToUse": False}}
            await self.cluster.merge_patch(VOLUME_SNAPSHOT, name, self.namespace, status, subresource="status")

    async def freeze(self, *, frozen: bool = True) -> None:
        """The guest is frozen, or thawed."""
        await guest(self.cluster, self.namespace, "frozen" if frozen else None)

    async def held(self) -> bool | None:
        """Whether the freeze lasted until the last cut; None where nobody knows."""
        found = await self.watches.result("run")
        return found.held if found else None

    def manifest(self, name: str, spec: Manifest) -> Manifest:
        """An object of the namespace."""
        return {"metadata": {"name": name, "namespace": self.namespace}, "spec": spec}


def _volume_backup(uid: str, volume: str) -> Manifest:
    claim = {"metadata": {"name": "claim"}, "spec": {"resources": {"requests": {"storage": "1Mi"}}}}
    name = f"vmsnapshot-{uid}-volume-{volume}"
    return {"volumeName": volume, "volumeSnapshotName": name, "persistentVolumeClaim": claim}


@pytest.fixture
async def capture(
    cluster: Cluster, namespace: str, kube_server: EmbeddedApiServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Capture]:
    """A capture whose guest is about to be frozen."""
    monkeypatch.setattr(freezes, "LAST_EVENT_SECONDS", 0.5)
    snapshots = [found for found in DEFINITIONS if found["spec"]["names"]["kind"] == VOLUME_SNAPSHOT.kind]
    async with SandboxCluster.connect(kube_server.kubeconfig, "tests") as sandbox:
        await install_definitions(sandbox, snapshots)
    capture = Capture(cluster, namespace, FreezeWatches(cluster))
    await guest(cluster, namespace)
    await capture.make()
    await capture.watches.start("run", namespace, "db", seconds=20, snapshot="snap")
    yield capture
    capture.watches.forget("run")


@pytest.mark.parametrize(("volumes", "held"), [(VOLUMES, True), (VOLUMES[:1], False), ((), False)])
async def test_a_thaw_counts_once_every_volume_is_cut(capture: Capture, volumes: tuple[str, ...], held: bool) -> None:
    """KubeVirt thaws only then; whoever thaws earlier has spoiled the cut."""
    await capture.freeze()
    await capture.cut(*volumes)
    await capture.freeze(frozen=False)
    assert await capture.held() is held


async def test_a_guest_that_goes_while_it_is_frozen_is_not_frozen_until_the_cut(capture: Capture) -> None:
    """The last that is seen of an instance that was deleted says frozen, and its successor may write."""
    await capture.freeze()
    await capture.cluster.delete(VMI, "db", capture.namespace)
    assert await capture.held() is False


async def test_a_second_freeze_may_still_hold(capture: Capture) -> None:
    """After a thaw that came too early KubeVirt may try again; only the last freeze counts."""
    await capture.freeze()
    await capture.freeze(frozen=False)
    await capture.freeze()
    await capture.cut(*VOLUMES)
    await capture.freeze(frozen=False)
    assert await capture.held() is True
