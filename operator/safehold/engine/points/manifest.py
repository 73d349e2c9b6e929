"""What a restore point's manifest says (docs/format.md, section 8)."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from safehold import __version__
from safehold.engine.changed_blocks.port import Engine
from safehold.engine.geometry import Geometry
from safehold.engine.maps.tree import VolumeMap, slots_of
from safehold.engine.packing.chunks import ID_BYTES


class _Stored(BaseModel):
    # A later release may say more; what changes the meaning of the rest gets another format version.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Owner(_Stored):
    """Who owns a point: the first three decide, the names are for people."""

    cluster: str
    namespace_uid: str
    vm_uid: str
    namespace: str
    vm: str

    @property
    def identity(self) -> tuple[str, str, str]:
        """What is compared."""
        return self.cluster, self.namespace_uid, self.vm_uid


class Capture(_Stored):
    """How the point in time was cut, as it was observed."""

    time: datetime
    consistency: Literal["Crash", "Offline", "Filesystem", "Application"]
    indications: list[str]
    frozen_millis: int | None = None
    frozen_observation: Literal["Observed", "UpperBound"] | None = None
    snapshot_uid: str
    excluded: list[str] = Field(default_factory=list)
    """Disks of the VM that were left out on purpose: the point is whole without them."""


class BaseIdentity(_Stored):
    """What a volume must have in common with its parent point before changed-block information is trusted."""

    pvc_uid: str
    volume_handle: str
    driver: str
    capacity_bytes: int
    last_restore_uid: str = ""


class Statistics(_Stored):
    """What one volume's backup did. Bytes: of the disk, read, found changed, sent, kept in the store for it."""

    bytes_total: int
    bytes_read: int = 0
    bytes_changed: int = 0
    bytes_uploaded: int = 0
    bytes_stored: int = 0
    seconds: float = 0.0


class StoredVolume(_Stored):
    """One volume of a point."""

    name: str
    size_bytes: int = Field(gt=0)
    chunk_bytes: int = Field(gt=0)
    map_fanout: int = Field(gt=1)
    levels: int = Field(ge=1)
    root: str = Field(pattern=rf"^[0-9a-f]{{{2 * ID_BYTES}}}$")
    mode: Literal["Block", "Filesystem"]
    role: Literal["Disk", "MemoryDump", "State"] = "Disk"
    """MemoryDump: a copy of the guest's memory for people to examine; no VM gets it back. State: a tar archive."""
    claim: dict[str, JsonValue] = Field(default_factory=dict)
    source: BaseIdentity | None = None
    checkpoint: str | None = None
    """The snapshot or checkpoint whose content this is: a later run may take over what has not changed since."""
    engine: Engine = "Scan"
    engine_reason: str = ""
    verified: bool = False
    """All of the disk was read to see whether the engine had told the truth."""
    mismatched_bytes: int = 0
    """Where it had not: chunks that differed although they were not named. The point has what was read."""
    statistics: Statistics

    def map(self) -> VolumeMap:
        """The volume's map."""
        return VolumeMap(bytes.fromhex(self.root), self.levels, slots_of(self.size_bytes, self.chunk_bytes))

    def fits(self, geometry: Geometry) -> bool:
        """Whether chunk ids of a new run can be compared with this volume's."""
        return self.chunk_bytes == geometry.chunk_bytes


class Manifest(_Stored):
    """One restore point."""

    format: Literal[1] = 1
    point: str
    sequence: int
    parent: str | None
    created: datetime
    run_id: str
    policy: str | None = None
    """uid of the policy whose retention decides how long the point stays; None: nobody asked for it to go."""
    policy_name: str = ""
    """Its kind and name, such as `BackupPolicy/gold`: one that is created anew under them decides from then on."""
    tier: str = ""
    """The tier of its schedules that made the point, if it has tiers."""
    domain: str
    key_set: str
    owner: Owner
    capture: Capture | None = None
    volumes: list[StoredVolume]
    segments: dict[str, int] = Field(default_factory=dict)
    """Run segments that, with the folds, list all chunks of the point: the last words of their names, and lengths."""
    heeded: list[str] = Field(default_factory=list)
    """The condemned lists that there were when the point was committed: it needs nothing that they name."""
    software: str = Field(default_factory=lambda: f"safehold {__version__}")

    @property
    def time(self) -> datetime:
        """The point in time that it holds."""
        return self.capture.time if self.capture else self.created

    @property
    def verified(self) -> bool:
        """Whether all of its disks were read, so that it rests on nobody's word about what had changed."""
        return all(volume.verified or volume.engine == "Scan" for volume in self.volumes)

    def volume(self, name: str) -> StoredVolume | None:
        """The volume of that name."""
        return next((volume for volume in self.volumes if volume.name == name), None)
