"""`maintenance` of a target: when its repository is tidied up, and what came of it."""

from typing import Annotated

from pydantic import Field

from safehold.api.base import ApiModel, Bytes, Count, Failure, Time, Uid
from safehold.api.timing import CronLine

MAX_GONE_MACHINES = 256


class Maintenance(ApiModel):
    """A worker Job that forgets points by their policies' `retention`, then frees what no point needs any more."""

    schedule: CronLine = "0 4 * * *"
    """When, as a cron line of five fields, or `@daily` and the like. Once a day is plenty."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """The zone of `schedule`, by its name in the IANA time zone database."""
    suspend: bool = False
    """While true nothing is forgotten and nothing is freed."""


class GoneMachine(ApiModel):
    """A VM that does not exist any more, whose restore points go after a grace (`afterVMDeleted: Delete`)."""

    vm_uid: Uid
    """Its uid."""
    since: Time
    """When that was noticed."""


class MaintenanceStatus(ApiModel):
    """What became of the last maintenance, and what is left of earlier ones for the next."""

    last_time: Time | None = None
    """When the last one ended, well or badly."""
    last_successful_time: Time | None = None
    """When the last one ended well."""
    last_compaction_time: Time | None = None
    """When sparse packs were rewritten the last time, which is done once a week."""
    next_time: Time | None = None
    """When the next one is due."""
    points: Count | None = None
    """How many restore points there were after it."""
    ungoverned_points: Count | None = None
    """How many of them no policy's retention decides about; they stay until somebody forgets them."""
    points_of_deleted_policies: Count | None = None
    """How many of these a policy made that is gone. One that is created anew under its name governs them again."""
    points_of_deleted_machines: Count | None = None
    """How many of all points are of VMs that do not exist any more."""
    forgotten_points: Count | None = None
    """How many it has forgotten."""
    freed_bytes: Bytes | None = None
    """How much it has deleted in the bucket."""
    condemned_bytes: Bytes | None = None
    """How much a later one will delete, 49 hours later or more."""
    gone_machines: Annotated[list[GoneMachine], Field(max_length=MAX_GONE_MACHINES)] = Field(default_factory=list)
    """VMs whose points wait for the end of `deletedVMGrace`. Others that are gone wait to be noted here."""
    failure: Failure | None = None
    """Why the last one failed; it is tried again at the next time."""
