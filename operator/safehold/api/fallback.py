"""What a VMBackup records of the volume snapshots that it takes itself when KubeVirt cannot."""

from typing import Annotated

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
