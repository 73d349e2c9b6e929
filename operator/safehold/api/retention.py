"""`retention`: how long the restore points of a policy stay."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Count, Sentence, Time, Word, rules

AfterVMDeleted = Literal["Keep", "Delete"]
KeepCount = Annotated[int, Field(ge=1, le=10_000, json_schema_extra={"format": "int32"})]
Age = Annotated[str, Field(max_length=32, pattern=r"^([1-9][0-9]{0,5}[dhms])+$")]
"""Days, hours, minutes and seconds in one word, such as `90d` or `1d12h`; never nothing."""

_KEEP_RULES = ("keepLast", "keepWithin", "keepHourly", "keepDaily", "keepWeekly", "keepMonthly", "keepYearly")
KEEPS_SOMETHING = (
    " || ".join(f"has(self.{rule})" for rule in _KEEP_RULES),
    "retention needs at least one keep rule, such as keepDaily: 14; without retention every restore point stays",
)
GRACE_NEEDS_DELETE = (
    "!has(self.deletedVMGrace) || self.afterVMDeleted == 'Delete'",
    "deletedVMGrace says when afterVMDeleted: Delete takes effect; with Keep nothing goes",
)


class Retention(ApiModel):
    """Which restore points of this policy stay, for each VM by itself.

    Rules are applied in the order in which they are listed here. Each looks only at points that those before it have
    left, and counts only periods of which it keeps a point: the newest.
    """

    model_config = ConfigDict(json_schema_extra=rules(KEEPS_SOMETHING, GRACE_NEEDS_DELETE))

    keep_last: KeepCount | None = None
    """The newest so many."""
    keep_within: Age | None = None
    """All that are at most this much older than the VM's newest, such as 7d."""
    keep_hourly: KeepCount | None = None
    """The newest of each of so many hours."""
    keep_daily: KeepCount | None = None
    """The newest of each of so many days."""
    keep_weekly: KeepCount | None = None
    """The newest of each of so many weeks; weeks begin on Monday."""
    keep_monthly: KeepCount | None = None
    """The newest of each of so many months."""
    keep_yearly: KeepCount | None = None
    """The newest of each of so many years."""
    minimum_age: Age | None = None
    """No point goes before it is this old, whatever the rules say."""
    after_vm_deleted: AfterVMDeleted = "Keep"
    """What becomes of the points of a VM that does not exist any more.

    Keep: all stay. Delete: all go, the last one too, once the VM has been gone for `deletedVMGrace`.
    """
    deleted_vm_grace: Age | None = None
    """How long a VM must have been gone before Delete takes effect; absent: 30 days."""


class NextDeletion(ApiModel):
    """A restore point that goes next, and why."""

    vm: Annotated[str, Field(max_length=317)]
    """The VM, as `namespace/name`."""
    restore_point: Word
    """The restore point."""
    tier: Annotated[str, Field(max_length=63)] | None = None
    """The tier whose own `retention` decides; absent: `spec.retention`."""
    capture_time: Time
    """The point in time that it holds."""
    deletion_time: Time
    """From when on it is let go; the target's next maintenance after that forgets it."""
    reason: Sentence
    """Why."""


class RetentionPreview(ApiModel):
    """What retention did, and what it will do next if all runs succeed."""

    time: Time
    """When the target's maintenance found this."""
    forgotten_points: Count
    """How many points of this policy that maintenance has forgotten."""
    next: Annotated[list[NextDeletion], Field(max_length=10)] = Field(default_factory=list)
    """The first ten to go; none where the runs that are foreseen make no point superfluous."""
