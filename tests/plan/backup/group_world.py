"""A cluster in which KubeVirt gives every snapshot up, and whose CSI driver can cut volumes as a group."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.plan.backup.fallback_world import SNAPSHOT, FallbackWorld
from tests.plan.backup.holdings import Volume
from tests.plan.backup.objects import START

from safehold.plan.backup import steps
from safehold.plan.backup.capture_facts import SnapshotFacts, VolumeSnapshotFacts
from safehold.plan.backup.facts import BackupFacts, Leftovers
from safehold.plan.backup.group import steps as group_steps
from safehold.plan.backup.group.facts import (
    GroupClassFacts,
    GroupContentFacts,
    GroupFacts,
    GroupOffer,
    GroupSnapshotFacts,
    MarkedClaim,
)
from safehold.plan.backup.memory_facts import TenantObject
from safehold.plan.names import GROUP_MARK, ORIGINAL_POLICY, OWNER_UID

GROUP_CLASS = GroupClassFacts(name="together", driver="csi.example", default=False, policy="Delete")
UID = "backup-uid"


@dataclass
class GroupWorld(FallbackWorld):
    """The members hang on the volumes, as snapshots of our own do; what deletes them is the group's content."""

    offer: GroupOffer = field(default_factory=lambda: GroupOffer(classes=(GROUP_CLASS,)))
    group: str | None = None
    """uid of the VolumeGroupSnapshot."""
    held: dict[str, Any] | None = None
    """The group's content: what may change of it, and which volumes it took."""
    marks: set[str] = field(default_factory=set)
    stranger: bool = False
    """Whether somebody labels one more claim."""
    stuck: bool = False
    """Whether the driver never cuts the group."""
    members: bool = False
    """Whether what was cut last was cut as a group."""

    def facts(self) -> BackupFacts:
        """What the observer reads, the group included once it is recorded."""
        facts = super().facts()
        if facts.fallback is not None:
            facts = replace(facts, fallback=replace(facts.fallback, groups=self.offer))
        fallback = self.backup.status.fallback
        return replace(facts, group=self.group_facts()) if fallback and fallback.group else facts

    def group_facts(self) -> GroupFacts:
        """The group as it is read."""
        snapshot = GroupSnapshotFacts(
            name=self.group_name(),
            uid=self.group or "",
            created=START + timedelta(seconds=60),
            deleting=False,
            selector={GROUP_MARK: UID},
            content="group-content" if self.held else None,
            ready=self.held is not None and not self.stuck,
            error="csi: busy" if self.stuck else "",
        )
        marked = tuple(MarkedClaim(namespace="shop", name=claim, mark=UID) for claim in sorted(self.marks))
        return GroupFacts(snapshot=snapshot if self.group else None, content=self.group_content(), marked=marked)

    def group_content(self) -> GroupContentFacts | None:
        """Its content as it is read."""
        if self.held is None:
            return None
        return GroupContentFacts(
            name="group-content",
            uid="group-content-uid",
            resource_version="1",
            driver="csi.example",
            policy=self.held["policy"],
            group_namespace="shop",
            group_name=self.group_name(),
            group_uid="group-uid",
            deleting=False,
            volume_handles=self.held["taken"],
            handle="physical-group",
            cut_at=None if self.stuck else START + timedelta(seconds=70),
            labels=self.held["labels"],
            annotations=self.held["annotations"],
        )

    def group_name(self) -> str:
        """As it is recorded."""
        fallback = self.backup.status.fallback
        return fallback.group.name if fallback and fallback.group else "group"

    def snapshot_facts(self) -> SnapshotFacts | None:
        """The members in the shape of KubeVirt's snapshots."""
        fallback = self.backup.status.fallback
        if fallback is None or fallback.by_group is None:
            return super().snapshot_facts()
        if self.group is None:
            return None
        captured = tuple(self.captured(volume) for volume in self.volumes)
        cut = all(volume.snapshot for volume in captured)
        taken = replace(
            SNAPSHOT, name=self.group_name(), uid="group-uid", succeeded=cut, ready=cut, created=fallback.start_time
        )
        assert taken.capture is not None
        return replace(taken, capture=replace(taken.capture, uid="group-uid", volumes=captured))

    def vs(self, volume: Volume) -> VolumeSnapshotFacts | None:
        """A member belongs to the group."""
        found = super().vs(volume)
        return found and replace(found, owner_uid="group-uid" if self.members else found.owner_uid)

    def leftovers(self) -> Leftovers:
        """Members carry no labels of ours: they are found by nothing but their group."""
        found = super().leftovers()
        content = self.group_content()
        marked = content is not None and OWNER_UID in content.labels
        return replace(
            found,
            tenant_snapshots=() if self.members else found.tenant_snapshots,
            groups=(TenantObject(namespace="shop", name=self.group_name(), uid=self.group),) if self.group else (),
            group_contents=(content,) if content and marked else (),
            marked_claims=self.group_facts().marked,
        )

    def carry_out(self, step: steps.Step) -> None:
        """Group steps here, all others below."""
        match step:
            case group_steps.CutGroup():
                self.cut_group(step)
            case group_steps.UnmarkClaim():
                self.marks.discard(step.name)
            case group_steps.HoldGroup():
                assert self.held is not None
                assert self.backup.status.handles, "handles must be recorded before the first write"
                self.held.update(policy="Retain", labels=dict(step.labels), annotations={ORIGINAL_POLICY: step.policy})
            case group_steps.SetGroupPolicy():
                assert self.held is not None
                self.held["policy"] = step.policy
                self.held.update({"labels": {}, "annotations": {}} if step.release else {})
            case group_steps.RemoveGroup():
                self.delete_group()
            case group_steps.RemoveGroupContent():
                self.delete_group_content()
            case _:
                if isinstance(step, steps.TakeVolumeSnapshots):
                    assert self.group is None, "a group that was given up must go first"
                    self.members = False
                super().carry_out(step)
                return
        self.check()

    def cut_group(self, step: group_steps.CutGroup) -> None:
        """The claims are marked, and the group is there; its controllers work at the next look."""
        recorded = self.backup.status.fallback
        assert recorded is not None
        assert recorded.group is not None, "what marks claims must be recorded before the first write"
        assert recorded.group.name == step.name
        self.marks |= {claim.name for claim in step.claims}
        self.group = self.group or "group-uid"

    def look(self) -> None:
        """The controllers see which claims are marked, and the driver cuts them."""
        super().look()
        if self.group is None or self.held is not None:
            return
        taken = [f"handle-{volume.name}" for volume in self.volumes if f"vm-{volume.name}" in self.marks]
        others = ["handle-of-another"] if self.stranger else []
        self.held = {"policy": "Delete", "labels": {}, "annotations": {}, "taken": tuple(taken + others)}
        if self.stuck:
            return
        self.members = True
        for volume in self.volumes:
            if f"handle-{volume.name}" in taken:
                volume.physical, volume.snapshot_uid = True, f"vs-uid-{volume.name}"
                volume.original = {"policy": "Delete", "labels": {}, "annotations": {}}

    def delete_group(self) -> None:
        """Its members go; its content and the physical snapshots only without a hold."""
        self.group = None
        if self.held is not None and self.held["policy"] == "Delete":
            self.delete_group_content()
        for volume in self.volumes if self.members else ():
            self.delete_volume_snapshot(volume)

    def delete_group_content(self) -> None:
        """The one object that deletes the members' physical snapshots."""
        deletes = self.held is not None and self.held["policy"] == "Delete"
        self.held = None
        for volume in self.volumes if self.members and deletes else ():
            volume.physical = False

    def delete_volume_snapshot(self, volume: Volume) -> None:
        """A member's content goes with it, and deletes nothing."""
        physical = volume.physical
        super().delete_volume_snapshot(volume)
        if self.members:
            volume.physical = physical

    def delete_content(self, name: str) -> None:
        """Nor does it when it is deleted by itself."""
        before = {volume.name: volume.physical for volume in self.volumes}
        super().delete_content(name)
        for volume in self.volumes if self.members else ():
            volume.physical = before[volume.name]

    def check(self) -> None:
        """At any moment at most one object deletes a handle, and nothing reads a snapshot that is gone."""
        for volume in self.volumes:
            owners = [volume.pair_content, self.held if self.members else volume.original]
            assert len([owner for owner in owners if owner and owner["policy"] == "Delete"]) <= 1
            if self.members and volume.pair_content:
                assert volume.pair_content["policy"] == "Retain", "a member is never deleted alone"
            if self.job is not None and self.job < 3:
                assert volume.physical


def nothing_of_the_group_is_left(world: GroupWorld) -> None:
    """No group, no content, and no mark on the VM's claims."""
    assert (world.group, world.held, world.marks) == (None, None, set())
