"""What a backup writes, against the real definitions of KubeVirt and CSI snapshots: accepted, and nothing pruned."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from tests.kube.backup.test_pairs import LABELS, POD, until

from safehold.api.capture import SnapshotHandle
from safehold.errors import SafeholdError
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.group.kinds import VERSIONS, kinds_of
from safehold.kube.backup.group.observer import group_content_facts, group_snapshot_facts
from safehold.kube.backup.hands import BackupHands
from safehold.kube.backup.hooks import HookRuns, OperatorAccount
from safehold.kube.backup.snapshots import observe_snapshot, read_content, read_volume_snapshot
from safehold.kube.client import Cluster
from safehold.kube.kinds import CLAIM, NAMESPACE, VM_SNAPSHOT, VMI, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, Kind
from safehold.plan.backup.group.steps import CutGroup, HoldGroup, RemoveGroup, SelectedClaim
from safehold.plan.backup.steps import CreatePair, HoldContent, TakeSnapshot
from safehold.plan.names import GROUP_MARK, ORIGINAL_CONTENT, ORIGINAL_POLICY
from sandbox.apiserver import running_api_server

_REAL = Path(__file__).parents[2] / ".." / "shared" / "crds"
FILES = (
    "kubevirt/virtualmachineinstances.yaml",
    "kubevirt/virtualmachinesnapshots.yaml",
    "csi/snapshot.storage.k8s.io_volumesnapshots.yaml",
    "csi/snapshot.storage.k8s.io_volumesnapshotcontents.yaml",
    "csi/groupsnapshot.storage.k8s.io_volumegroupsnapshots.yaml",
    "csi/groupsnapshot.storage.k8s.io_volumegroupsnapshotcontents.yaml",
    "csi/groupsnapshot.storage.k8s.io_volumegroupsnapshotclasses.yaml",
)
_GROUPS = kinds_of("v1")
_OF_GROUPS = (_GROUPS.snapshot, _GROUPS.content, _GROUPS.snapshot_class)
DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
HANDLE = SnapshotHandle(
    volume="data",
    volume_snapshot="vs",
    volume_snapshot_uid="vs-uid",
    content="snapcontent-1",
    content_uid="content-uid",
    driver="csi.example",
    snapshot_handle="0001-handle",
    class_name="fast",
    original_deletion_policy="Delete",
    source_volume_mode="Block",
    restore_size_bytes=1 << 30,
    pair_name="safehold-data-pair",
    claim_name="safehold-data-clone",
)


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[BackupHands]:
    """The operator's hands on a server that has the real definitions."""
    if not _REAL.is_dir():
        pytest.skip("the real definitions (../shared/crds) are not on this machine")
    with running_api_server(tmp_path) as server:
        async with Cluster.connect(server.kubeconfig) as cluster:
            for file in FILES:
                definition = yaml.safe_load((_REAL / file).read_text())
                definition.pop("status", None)
                await cluster.create(DEFINITION, definition)
            for name in ("safehold", "shop"):
                await cluster.create(NAMESPACE, {"metadata": {"name": name}})

            async def served() -> bool:
                try:
                    for kind in (VMI, VM_SNAPSHOT, VOLUME_SNAPSHOT, VOLUME_SNAPSHOT_CONTENT, *_OF_GROUPS):
                        await cluster.list(kind)
                except SafeholdError:
                    return False
                return True

            await until(served)
            yield BackupHands(
                cluster=cluster,
                pod=POD,
                freezes=FreezeWatches(cluster),
                hooks=HookRuns(cluster, OperatorAccount(namespace="safehold", name="safehold"), wake=lambda *_: None),
            )


async def test_the_snapshot_of_a_vm_is_accepted(hands: BackupHands) -> None:
    """Source and deadline as KubeVirt's definition has them; labels carry the owner."""
    step = TakeSnapshot(namespace="shop", name="snap", vm="db", deadline_seconds=60, labels=LABELS)
    await hands.carry_out(step)
    found = await hands.cluster.read(VM_SNAPSHOT, "snap", "shop")
    assert found["spec"]["source"] == {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "db"}
    assert found["spec"]["failureDeadline"] == "60s"
    facts = await observe_snapshot(hands.cluster, "shop", "snap")
    assert facts is not None
    assert (facts.vm, facts.ready, facts.failure) == ("db", False, None)
    hands.freezes.forget("backup-uid")


async def test_the_pair_is_accepted(hands: BackupHands) -> None:
    """A static content with the handle, and a snapshot that names it; the definitions' own rules hold."""
    annotations = {ORIGINAL_POLICY: "Delete", ORIGINAL_CONTENT: "snapcontent-1"}
    await hands.carry_out(CreatePair(handle=HANDLE, annotations=annotations, labels=LABELS))
    content = await read_content(hands.cluster, HANDLE.pair_name)
    snapshot = await read_volume_snapshot(hands.cluster, HANDLE.pair_name, "safehold")
    assert content is not None
    assert snapshot is not None
    assert (content.handle, content.driver, content.policy) == ("0001-handle", "csi.example", "Retain")
    assert (content.source_mode, content.class_name) == ("Block", "fast")
    assert (content.snapshot_namespace, content.snapshot_name) == ("safehold", HANDLE.pair_name)
    assert content.annotations == annotations


async def test_a_content_of_kubevirts_can_be_held(hands: BackupHands) -> None:
    """The policy is mutable, and labels and annotations are taken in the same write."""
    spec = {
        "driver": "csi.example",
        "deletionPolicy": "Delete",
        "source": {"volumeHandle": "volume-1"},
        "volumeSnapshotRef": {"namespace": "shop", "name": "vs", "uid": "vs-uid"},
        "sourceVolumeMode": "Block",
    }
    created = await hands.cluster.create(VOLUME_SNAPSHOT_CONTENT, {"metadata": {"name": "snapcontent-1"}, "spec": spec})
    version = created["metadata"]["resourceVersion"]
    step = HoldContent(content="snapcontent-1", resource_version=version, policy="Delete", labels=LABELS)
    await hands.carry_out(step)
    held = await read_content(hands.cluster, "snapcontent-1")
    assert held is not None
    assert (held.policy, held.annotations, held.source_volume_handle) == (
        "Retain",
        {ORIGINAL_POLICY: "Delete"},
        "volume-1",
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_group_is_accepted_in_every_version(hands: BackupHands, version: str) -> None:
    """Its selector is the mark, its class the chosen one, and each version that is served reads the same."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = await hands.cluster.create(CLAIM, {"metadata": {"name": "data", "namespace": "shop"}, "spec": spec})
    step = CutGroup(
        namespace="shop",
        backup="db-1",
        backup_uid="backup-uid",
        name="group",
        class_name="together",
        claims=(SelectedClaim("data", claim["metadata"]["uid"]),),
        labels=LABELS,
    )
    await hands.carry_out(step)
    found = await hands.cluster.read(kinds_of(version).snapshot, "group", "shop")
    facts = group_snapshot_facts(found)
    assert (dict(facts.selector), facts.content, facts.ready) == ({GROUP_MARK: "backup-uid"}, None, False)
    assert found["spec"]["volumeGroupSnapshotClassName"] == "together"


async def test_a_group_is_not_deleted_before_its_controller_protects_it(hands: BackupHands) -> None:
    """Bound and without a finalizer it would go at once, and leave its content and the physical snapshots behind."""
    spec = {"source": {"selector": {"matchLabels": {GROUP_MARK: "backup-uid"}}}}
    made = await hands.cluster.create(
        _GROUPS.snapshot, {"metadata": {"name": "group", "namespace": "shop"}, "spec": spec}
    )
    remove = RemoveGroup(namespace="shop", name="group", uid=made["metadata"]["uid"])
    bound = {"status": {"boundVolumeGroupSnapshotContentName": "groupsnapcontent-1"}}
    await hands.cluster.merge_patch(_GROUPS.snapshot, "group", "shop", bound, subresource="status")
    await hands.carry_out(remove)
    assert await hands.cluster.get(_GROUPS.snapshot, "group", "shop")
    protected = {"metadata": {"finalizers": ["groupsnapshot.storage.kubernetes.io/bound"]}}
    await hands.cluster.merge_patch(_GROUPS.snapshot, "group", "shop", protected)
    await hands.carry_out(remove)
    found = await hands.cluster.read(_GROUPS.snapshot, "group", "shop")
    assert "deletionTimestamp" in found["metadata"]


async def test_the_content_of_a_group_can_be_held(hands: BackupHands) -> None:
    """The policy is mutable, and labels and annotations are taken in the same write."""
    spec = {
        "driver": "csi.example",
        "deletionPolicy": "Delete",
        "source": {"volumeHandles": ["volume-1", "volume-2"]},
        "volumeGroupSnapshotClassName": "together",
        "volumeGroupSnapshotRef": {"namespace": "shop", "name": "group", "uid": "group-uid"},
    }
    created = await hands.cluster.create(_GROUPS.content, {"metadata": {"name": "groupsnapcontent-1"}, "spec": spec})
    version = created["metadata"]["resourceVersion"]
    step = HoldGroup(content="groupsnapcontent-1", resource_version=version, policy="Delete", labels=LABELS)
    await hands.carry_out(step)
    held = group_content_facts(await hands.cluster.read(_GROUPS.content, "groupsnapcontent-1"))
    assert (held.policy, held.annotations) == ("Retain", {ORIGINAL_POLICY: "Delete"})
    assert (held.volume_handles, held.group_uid) == (("volume-1", "volume-2"), "group-uid")
