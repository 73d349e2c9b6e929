"""What a VMBackup records of the volume snapshots that it takes itself when KubeVirt cannot."""

from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import MAX_VOLUMES, ApiModel, Name, Sentence, Time, Uid, Word, list_map


class FallbackVolume(ApiModel):
    """One volume, and the VolumeSnapshot that is made of it."""

    name: Word
    """The VM's name of the volume."""
    claim_name: Name
    """Its PersistentVolumeClaim."""
    claim_uid: Uid
    """The claim's uid."""
    class_name: Name
    """The VolumeSnapshotClass."""


class FallbackGroup(ApiModel):
    """The VolumeGroupSnapshot that cuts all volumes at one instant."""

    name: Name
    """The VolumeGroupSnapshot in the VM's namespace."""
    uid: Uid | None = None
    """Its uid; absent until it was seen."""
    class_name: Name
    """The VolumeGroupSnapshotClass."""
    class_reason: Sentence
    """Why this class."""
    content: Name | None = None
    """The VolumeGroupSnapshotContent that it is bound to."""
    content_uid: Uid | None = None
    """The content's uid."""
    original_deletion_policy: Literal["Retain", "Delete"] | None = None
    """The content's deletionPolicy before it was set to Retain; it is set back at the end."""


class FallbackCapture(ApiModel):
    """The volume snapshots of a run whose VirtualMachineSnapshot failed. Recorded before the first one is made."""

    reason: Sentence
    """Why KubeVirt's snapshot failed."""
    start_time: Time
    """When this was decided."""
    offline: bool = False
    """Whether the VM was stopped then."""
    volumes: Annotated[list[FallbackVolume], Field(max_length=MAX_VOLUMES, json_schema_extra=list_map("name"))]
    """What is cut."""
    group: FallbackGroup | None = None
    """The group, where one was asked for: also one that was given up, since what it made has to go."""
    ungrouped_reason: Sentence | None = None
    """Why several volumes are cut one by one, and not as a group."""

    @property
    def by_group(self) -> FallbackGroup | None:
        """The group that cuts the volumes; None where each is cut for itself."""
        return self.group if self.ungrouped_reason is None else None
