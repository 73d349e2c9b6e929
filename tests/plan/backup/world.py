"""A model of a cluster during a backup: how API server, KubeVirt and CSI driver react to its steps."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from tests.plan.backup.holdings import Holdings, Volume, held_name

from safehold.plan.backup import steps
from safehold.plan.backup.facts import HookOutcome
from safehold.plan.names import ORIGINAL_POLICY, pair_name


@dataclass
class World(Holdings):
    """What is held, and how the controllers behind it react."""

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
