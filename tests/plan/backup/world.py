"""A model of what API server, KubeVirt and CSI driver hold during a backup, and of how they react to its steps."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.plan.backup.objects import START, target

from safehold.api import VMBackup
from safehold.api.hooks import HookPhase
from safehold.plan.backup import steps
from safehold.plan.backup.changes_facts import BaseFacts, ChangesFacts, MetadataService
from safehold.plan.backup.cleanup import ORIGINAL_POLICY
from safehold.plan.backup.facts import (
    BackupFacts,
    CapturedVolume,
    CaptureFacts,
    ClaimFacts,
    CloneFacts,
    ContentFacts,
    DiskFacts,
    HoldFacts,
    HookFacts,
    HookOutcome,
    Leftovers,
    MachineFacts,
    OriginalFacts,
    SnapshotFacts,
    VMSnapshotRef,
    VolumeSnapshotFacts,
)
from safehold.plan.backup.stages import stage_of
from safehold.plan.job import JobFacts
from safehold.plan.names import BASE_OF, OWNER_UID, pair_name
from safehold.run import Engine, RunReport, VolumeReport


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
class World:
    """What the API server, KubeVirt and the CSI driver hold, and how they react."""

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

    def carry_out(self, step: steps.Step) -> None:
        """Do one step, as the API server and the controllers behind it would."""
        match step:
            case steps.LabelBackup():
                self.labels |= step.labels
            case steps.CaptureMachine():
                self.machine_secret = True
            case steps.TakeSnapshot():
                self.take_snapshot()
            case steps.Thaw() | steps.StartHook():
                self.reach_into_guest(step)
            case steps.HoldContent() | steps.CreatePair() | steps.CreateClone():
                self.prepare(step)
            case steps.StartBackup():
                assert all(volume.clone for volume in self.volumes)
                self.job, self.job_started = self.job or 0, self.job_started + 1
            case steps.KeepBase() | steps.SetPolicy() | steps.Delete():
                self.clean_up(step)
            case _:
                pytest.fail(f"not a step of a backup in this world: {step}")
        self.check()

    def prepare(self, step: steps.HoldContent | steps.CreatePair | steps.CreateClone) -> None:
        """Make a snapshot readable."""
        match step:
            case steps.HoldContent(content=name):
                assert self.backup.status.handles, "a handle must be recorded before the first write"
                held = next(volume.original for volume in self.volumes if name == f"content-{volume.name}")
                assert held is not None
                held.update(policy="Retain", labels=dict(step.labels), annotations={ORIGINAL_POLICY: step.policy})
            case steps.CreatePair(handle=handle):
                volume = next(volume for volume in self.volumes if volume.name == handle.volume)
                assert volume.original is None or volume.original["policy"] == "Retain"
                fresh = {"policy": "Retain", "annotations": dict(step.annotations), "labels": {}}
                volume.pair_content = volume.pair_content or fresh
                volume.pair_snapshot = True
            case steps.CreateClone(pair=pair):
                next(v for v in self.volumes if self.recorded_pair(v) == pair).clone = True

    def clean_up(self, step: steps.KeepBase | steps.SetPolicy | steps.Delete) -> None:
        """Keep, hand back, or delete."""
        match step:
            case steps.KeepBase():
                self.keep_base(step)
            case steps.SetPolicy():
                self.set_policy(step)
            case steps.Delete():
                self.delete(step)

    def reach_into_guest(self, step: steps.Thaw | steps.StartHook) -> None:
        """What the operator itself does to the application: it thaws, or begins a hook and gives up any other."""
        if isinstance(step, steps.Thaw):
            self.frozen = False
        else:
            self.story.append(step.hook.name)
            self.hooks = {key: end for key, end in self.hooks.items() if end} | {(step.phase, step.hook.name): None}

    def check(self) -> None:
        """At any moment at most one content deletes a handle, and nothing reads a snapshot that is gone."""
        for volume in self.volumes:
            owners = [c for c in (volume.original, volume.pair_content) if c and c["policy"] == "Delete"]
            assert len(owners) <= 1
            if self.job is not None and self.job < 3:
                assert volume.physical

    def take_snapshot(self) -> None:
        """KubeVirt freezes and cuts; it thaws at the next look."""
        if self.snapshot is not None:
            return
        self.snapshot, self.frozen = 0, True
        self.story.append("cut")
        for volume in self.volumes:
            volume.physical, volume.snapshot_uid = True, f"vs-uid-{volume.name}"
            volume.original = {"policy": "Delete", "labels": {}, "annotations": {}}

    def delete_snapshot(self) -> None:
        """KubeVirt's snapshot goes, and its VolumeSnapshots with it."""
        self.snapshot, self.frozen = None, False
        for volume in self.volumes:
            self.delete_volume_snapshot(volume)

    def delete_volume_snapshot(self, volume: Volume) -> None:
        """One of KubeVirt's VolumeSnapshots goes."""
        volume.snapshot_uid = None
        if volume.original and volume.original["policy"] == "Delete":
            volume.original, volume.physical = None, False

    def set_policy(self, step: steps.SetPolicy) -> None:
        """Give a content its policy."""
        for volume in self.volumes:
            for held in (volume.original, volume.pair_content):
                if held is not None and step.content == held_name(volume, held):
                    held["policy"] = step.policy
                    if step.release:
                        held.update(labels={}, annotations={})

    def keep_base(self, step: steps.KeepBase) -> None:
        """Our content becomes the owner."""
        volume = next(v for v in self.volumes if pair_name("backup-uid", v.name) == step.content)
        assert volume.original is None, "the original must be gone before ours may delete"
        assert volume.pair_content is not None
        volume.pair_content.update(policy="Delete", labels=dict(step.labels))

    def delete(self, step: steps.Delete) -> None:
        """Delete one object."""
        match step.kind:
            case "Job":
                self.job = None
            case "Secret":
                self.machine_secret = False
            case "VirtualMachineSnapshot":
                self.delete_snapshot()
            case "Claim":
                next(v for v in self.volumes if step.uid == f"clone-{v.name}").clone = False
            case "VolumeSnapshot" if step.namespace is not None:
                self.delete_volume_snapshot(next(v for v in self.volumes if step.uid == v.snapshot_uid))
            case "VolumeSnapshot" if step.name.startswith("base-"):
                next(v for v in self.volumes if step.name == f"base-{v.name}").old_base = False
            case "VolumeSnapshot":
                volume = next(v for v in self.volumes if step.uid == f"pair-{v.name}")
                volume.pair_snapshot = False
                if volume.pair_content and volume.pair_content["policy"] == "Delete":
                    volume.pair_content, volume.physical = None, False
            case "VolumeSnapshotContent":
                self.delete_content(step.name)

    def delete_content(self, name: str) -> None:
        """A content goes; the physical snapshot only with Delete."""
        for volume in self.volumes:
            if name == f"content-{volume.name}" and volume.original:
                volume.physical = volume.physical and volume.original["policy"] == "Retain"
                volume.original = None
            elif name == pair_name("backup-uid", volume.name):
                volume.pair_content = None

    def recorded_pair(self, volume: Volume) -> str:
        """Name of our pair for a volume."""
        return next(handle.pair_name for handle in self.backup.status.handles if handle.volume == volume.name)

    def look(self) -> None:
        """Time passes, and the controllers work."""
        self.now += timedelta(seconds=2)
        if self.snapshot is not None:
            self.snapshot += 1
            self.frozen = False
        if self.job is not None:
            self.job += 1
        self.hooks = {key: end or self.hook_end(key[1]) for key, end in self.hooks.items()}

    def hook_end(self, name: str) -> HookOutcome:
        """How the command of a hook ends."""
        code = 1 if name in self.failing_hooks else 0
        return HookOutcome(succeeded=code == 0, exit_code=code, millis=5, message="no luck" if code else "")
