"""What a Job that describes a restore point is asked, and what it answers in the envelope."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from safehold.message import Message
from safehold.run import Owner, RepositoryPlace, VolumeRole


class SoughtVM(Message):
    """Whose latest point is looked for."""

    cluster: str
    """uid of the cluster's kube-system namespace."""
    namespace_uid: str
    name: str
    uid: str | None = None
    """None: that of the last VM of this name."""
    before: datetime | None = None
    """Only points captured at or before this time."""
    verified: Literal["Prefer", "Require"] | None = None
    """Only points of which all disks were read, or the latest of those where there is one."""


class DescribeRun(Message):
    """Find one restore point and say what its manifest says. Nothing is written."""

    verb: Literal["describe"] = "describe"
    run_id: str
    repository: RepositoryPlace
    repository_id: str | None = None
    """The repository that is meant; None: whichever is there."""
    key_domain: str | None = None
    """Where the point is; None: wherever it is found."""
    point: str | None = None
    """The point of this id."""
    vm: SoughtVM | None = None
    """Or the latest one of a VM."""


class DescribedVolume(Message):
    """One volume of a point, and what its claim was like."""

    name: str
    role: VolumeRole
    mode: Literal["Block", "Filesystem"]
    disk_bytes: int
    capacity_bytes: int
    claim: str | None = None
    storage_class: str | None = None
    access_modes: list[str] = Field(default_factory=list)


class PointDescription(Message):
    """What the sealed manifest of a restore point says, as far as a restore depends on it."""

    point: str
    repository_id: str
    key_domain: str
    captured: datetime
    consistency: Literal["Crash", "Offline", "Filesystem", "Application"] | None
    verified: bool
    owner: Owner
    volumes: list[DescribedVolume]
    excluded: list[str] = Field(default_factory=list)
    """Disks of the VM that were left out on purpose."""
