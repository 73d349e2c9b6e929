"""What API server, KubeVirt and CSI driver hold during a backup, and what the observer reads of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.plan.backup.objects import START, target

from safehold.api import VMBackup
from safehold.api.hooks import HookPhase
from safehold.plan.backup.capture_facts import (
    CapturedVolume,
    CaptureFacts,
    ClaimFacts,
    ContentFacts,
    SnapshotFacts,
    VolumeSnapshotFacts,
)
from safehold.plan.backup.changes_facts import BaseFacts, ChangesFacts, MetadataService
from safehold.plan.backup.facts import (
    BackupFacts,
    CloneFacts,
    DiskFacts,
    HoldFacts,
    HookFacts,
    HookOutcome,
    Leftovers,
    MachineFacts,
    OriginalFacts,
    VMSnapshotRef,
)
from safehold.plan.backup.stages import stage_of
from safehold.plan.job import JobFacts
from safehold.plan.names import BASE_OF, ORIGINAL_POLICY, OWNER_UID, pair_name
from safehold.report import Engine, RunReport, VolumeReport


def held_name(volume: "Volume", held: dict[str, Any]) -> str:
    """Name of the original or of our own content of a volume."""
    return f"content-{volume.name}" if held is volume.original else pair_name("backup-uid", volume.name)


def content(volume: "Volume", held: dict[str, Any] | None, namespace: str, snapshot: str) -> ContentFacts | None:
    """A content as it is read."""
    if held is None:
        return None
    ours = held is volume.pair_content
    return ContentFacts(
        name=held_name(volume, held),
        uid=f"uid-{held_name(volume, held)}",
        resource_version="1",
        driver="csi.example",
        handle=f"physical-{volume.name}",
        policy=held["policy"],
        snapshot_namespace=namespace,
        snapshot_name=snapshot,
        snapshot_uid=f"pair-{volume.name}" if ours else f"vs-uid-{volume.name}",
        deleting=False,
        source_volume_handle=None if ours else f"handle-{volume.name}",
        labels=held.get("labels", {}),
        annotations=held["annotations"],
    )


def node_selector(node: str) -> dict[str, object]:
    """The node selector of a volume that lies on one node."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


@dataclass
class Volume:
    """One volume's snapshot objects. A content is a dict of what may change; None is gone."""

    name: str
    physical: bool = False
    snapshot_uid: str | None = None
    original: dict[str, Any] | None = None
    pair_content: dict[str, Any] | None = None
    pair_snapshot: bool = False
    clone: bool = False
    old_base: bool = False
    """Whether an earlier run's pair is kept."""


@dataclass
class Holdings:
    """What the API server, KubeVirt and the CSI driver hold."""

    backup: VMBackup
    now: datetime = START
    volumes: list[Volume] = field(default_factory=lambda: [Volume("data"), Volume("logs")])
    snapshot: int | None = None
    """Looks since its creation; None when there is none."""
    machine_secret: bool = False
    frozen: bool = False
    job: int | None = None
    job_started: int = 0
    namespace_ending: bool = False
    service: bool = False
    """Whether the CSI driver tells changed blocks."""
    mismatched_bytes: dict[str, int] = field(default_factory=dict)
    """By volume: what the worker will say about its verification."""
    labels: dict[str, str] = field(default_factory=dict)
    released: bool = False
    nodes: dict[str, str] = field(default_factory=dict)
    """By volume: the node that it is bound to."""
    hooks: dict[tuple[HookPhase, str], HookOutcome | None] = field(default_factory=dict)
    """What the controller's process knows of hooks that it began: lost with it."""
    failing_hooks: frozenset[str] = frozenset()
    story: list[str] = field(default_factory=list)
    """Hooks and the cut, in the order in which they were begun."""

    def facts(self) -> BackupFacts:
        """What the observer reads in this stage."""
        stage = stage_of(self.backup)
        common: dict[str, Any] = {
            "namespace_uid": "ns-uid",
            "namespace_ending": self.namespace_ending,
            "target": target(),
            "machine": self.machine(),
            "hooks": tuple(HookFacts(phase=key[0], name=key[1], outcome=end) for key, end in self.hooks.items()),
        }
        if stage == "Ending":
            return BackupFacts(**common, leftovers=self.leftovers())
        job = self.job_facts() if stage == "Preparing" else None
        return BackupFacts(
            **common,
            snapshot=self.snapshot_facts(),
            machine_captured=self.machine_secret,
            job=job,
            changes=self.changes() if stage == "Preparing" else ChangesFacts(),
            holds=tuple(self.hold(volume) for volume in self.volumes if self.backup.status.handles),
        )

    def changes(self) -> ChangesFacts:
        """Who can be asked, and since when."""
        service = MetadataService(address="metadata:50051", audience="csi.example", authority="PEM")
        return ChangesFacts(services={"csi.example": service} if self.service else {}, bases=self.old_bases())

    def old_bases(self) -> tuple[BaseFacts, ...]:
        """What earlier runs kept."""
        return tuple(
            BaseFacts(
                name=f"base-{volume.name}",
                uid=f"base-uid-{volume.name}",
                claim_uid=f"claim-{volume.name}",
                vm_uid="vm-uid",
                policy_uid=None,
                driver="csi.example",
                handle=f"earlier-{volume.name}",
                created=START - timedelta(days=1),
                has_snapshot=True,
            )
            for volume in self.volumes
            if volume.old_base
        )

    def machine(self) -> MachineFacts:
        """The VM."""
        disks = tuple(DiskFacts(name=v.name, claim=f"vm-{v.name}", snapshottable=True) for v in self.volumes)
        return MachineFacts(name="db", uid="vm-uid", disks=disks, frozen=self.frozen)

    def snapshot_facts(self) -> SnapshotFacts | None:
        """KubeVirt's snapshot, readable from the third look on."""
        if self.snapshot is None:
            return None
        ready = self.snapshot >= 2 and all(volume.snapshot_uid for volume in self.volumes)
        captured = CaptureFacts(
            uid="capture-uid",
            vm_uid="vm-uid",
            disks={volume.name: f"vm-{volume.name}" for volume in self.volumes},
            cut_time=START + timedelta(seconds=3),
            volumes=tuple(self.captured(volume) for volume in self.volumes),
        )
        return SnapshotFacts(
            name="snap",
            uid="snap-uid",
            vm="db",
            created=START + timedelta(seconds=1),
            deleting=False,
            succeeded=self.snapshot >= 2,
            ready=ready,
            failure=None,
            error="",
            indications=("GuestAgent", "Online"),
            capture=captured if ready else None,
        )

    def captured(self, volume: Volume) -> CapturedVolume:
        """One volume as captured."""
        claim = ClaimFacts(
            name=f"vm-{volume.name}",
            uid=f"claim-{volume.name}",
            mode="Block",
            capacity_bytes=1 << 30,
            storage_class="fast",
            access_modes=("ReadWriteOnce",),
            driver="csi.example",
            volume_handle=f"handle-{volume.name}",
            node_affinity=node_selector(self.nodes[volume.name]) if volume.name in self.nodes else None,
        )
        return CapturedVolume(
            name=volume.name,
            claim_name=claim.name,
            claim_uid=claim.uid,
            snapshot_name=f"vs-{volume.name}",
            claim=claim,
            snapshot=self.vs(volume),
            content=content(volume, volume.original, "shop", f"vs-{volume.name}"),
        )

    def vs(self, volume: Volume) -> VolumeSnapshotFacts | None:
        """KubeVirt's VolumeSnapshot of a volume."""
        if volume.snapshot_uid is None:
            return None
        return VolumeSnapshotFacts(
            name=f"vs-{volume.name}",
            namespace="shop",
            uid=volume.snapshot_uid,
            ready=True,
            deleting=False,
            content=f"content-{volume.name}",
            claim=f"vm-{volume.name}",
            owner_uid="capture-uid",
        )

    def hold(self, volume: Volume) -> HoldFacts:
        """What became of a recorded handle."""
        handle = next(handle for handle in self.backup.status.handles if handle.volume == volume.name)
        clone = CloneFacts(name=handle.claim_name, uid=f"clone-{volume.name}", bound=True, deleting=False)
        return HoldFacts(
            volume=volume.name,
            original=content(volume, volume.original, "shop", f"vs-{volume.name}"),
            content=content(volume, volume.pair_content, "safehold", handle.pair_name),
            snapshot=self.pair_snapshot(volume, handle.pair_name) if volume.pair_snapshot else None,
            clone=clone if volume.clone else None,
        )

    def pair_snapshot(self, volume: Volume, name: str) -> VolumeSnapshotFacts:
        """Our VolumeSnapshot of a volume."""
        return VolumeSnapshotFacts(
            name=name,
            namespace="safehold",
            uid=f"pair-{volume.name}",
            ready=True,
            deleting=False,
            content=name,
            claim=None,
            owner_uid=None,
        )

    def job_facts(self) -> JobFacts | None:
        """The worker; it reports at the third look."""
        if self.job is None:
            return None
        if self.job < 3:
            return JobFacts(name="job", uid="job-uid")
        volumes = [
            VolumeReport(
                name=volume.name,
                bytes_total=1 << 30,
                bytes_stored=5,
                engine=Engine.CSI if self.service else Engine.SCAN,
                verified=volume.name in self.mismatched_bytes,
                mismatched_bytes=self.mismatched_bytes.get(volume.name, 0),
            )
            for volume in self.volumes
        ]
        report = RunReport(
            run_id=self.backup.metadata.uid,
            verb="backup",
            succeeded=True,
            reason="Succeeded",
            message="",
            restore_point="point-1",
            volumes=volumes,
        )
        return JobFacts(name="job", uid="job-uid", outcome="Complete", termination_message=report.model_dump_json())

    def leftovers(self) -> Leftovers:
        """Everything that carries the run's labels."""
        marked = [volume for volume in self.volumes if volume.original and OWNER_UID in volume.original["labels"]]
        named = {volume.name: pair_name("backup-uid", volume.name) for volume in self.volumes}
        mine = [v for v in self.volumes if not (v.pair_content and BASE_OF in v.pair_content["labels"])]
        pairs = [content(v, v.pair_content, "safehold", named[v.name]) for v in mine]
        ref = VMSnapshotRef(namespace="shop", name="snap", uid="snap-uid", deleted_at=None)
        return Leftovers(
            jobs=("job",) if self.job is not None else (),
            clones=tuple(
                CloneFacts(name=v.name, uid=f"clone-{v.name}", bound=True, deleting=False)
                for v in self.volumes
                if v.clone
            ),
            pair_snapshots=tuple(self.pair_snapshot(v, named[v.name]) for v in mine if v.pair_snapshot),
            old_bases=self.old_bases() if self.backup.status.restore_point else (),
            pair_contents=tuple(pair for pair in pairs if pair),
            originals=tuple(self.original(volume) for volume in marked),
            vm_snapshots=(ref,) if self.snapshot is not None else (),
            secrets=("machine",) if self.machine_secret else (),
        )

    def original(self, volume: Volume) -> OriginalFacts:
        """A held content."""
        found = content(volume, volume.original, "shop", f"vs-{volume.name}")
        assert found is not None
        assert volume.original is not None
        policy = volume.original["annotations"][ORIGINAL_POLICY]
        return OriginalFacts(content=found, policy=policy, snapshot_lives=volume.snapshot_uid is not None)
