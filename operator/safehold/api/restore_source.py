"""Which restore point a VMRestore is of."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Name, NamespaceName, Time, rules
from safehold.api.references import TargetRef

VerifiedChoice = Literal["Prefer", "Require"]
PointId = Annotated[str, Field(max_length=40, pattern=r"^[0-9a-f]{16}-[0-9]{6}-[0-9a-f]{16}$")]


class RestoreSource(ApiModel):
    """Which restore point: of a VMBackup, the latest of a VM, or one that is named by its id."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.backup) ? 1 : 0) + (has(self.vm) ? 1 : 0) + (has(self.point) ? 1 : 0) == 1",
                "give exactly one of backup, vm and point",
            ),
            ("!has(self.before) || has(self.vm)", "before goes with vm: it chooses among the VM's restore points"),
            ("!has(self.verified) || has(self.vm)", "verified goes with vm: it chooses among the VM's restore points"),
            ("!has(self.point) || has(self.target)", "point needs target: whose bucket it lies in"),
            ("!has(self.target) || !has(self.backup)", "target does not go with backup: a VMBackup names its own"),
            (
                "!has(self.__namespace__) || !has(self.point)",
                "namespace does not go with point: whose it is, the restore point itself says",
            ),
        )
    )

    backup: Name | None = None
    """The point of this VMBackup."""
    vm: Name | None = None
    """The latest point of this VM, or the latest that is not after `before`."""
    before: Time | None = None
    """Only points captured at or before this time, in RFC 3339."""
    verified: VerifiedChoice | None = None
    """Only points of which all disks were read (Require), or the latest of those where there is one (Prefer)."""
    point: PointId | None = None
    """The point of this id in the bucket of `target`. This cluster need not know of it."""
    target: TargetRef | None = None
    """A target that serves this namespace, in whose bucket the point is looked for.

    With vm it may be left out: VMBackups tell the points, and of older ones the target.
    """
    namespace: NamespaceName | None = None
    """Where the VMBackup or the VM is; absent: this namespace.

    The source namespace must allow it with the annotation `safehold.dev/allow-restore-to`.
    """
