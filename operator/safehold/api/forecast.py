"""`status.forecast` of a policy: when its runs will be finished, and what they are likely to miss."""

from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import ApiModel, Bytes, Count, Sentence, Time, Word

LineOrder = Literal["Arrival", "Deadline", "LatestStart", "MostInTime"]
Miss = Literal["Deadline", "Window"]
MAX_LATE = 10


class LateMachine(ApiModel):
    """A VM whose backup is likely to be late."""

    name: Annotated[str, Field(max_length=317)]
    """The VM; `namespace/name` where the policy is a cluster's."""
    misses: Miss
    """Deadline: it ends after its `dueTime`. Window: it begins after the hours for it have closed."""
    start_time: Time
    """When its backup is expected to begin."""
    end_time: Time
    """When it is expected to end."""
    due_time: Time
    """When it has to be finished; with `Window`, when it has to have begun."""
    message: Sentence
    """Why."""


class Forecast(ApiModel):
    """What is expected of the runs that are under way, or else of the next one."""

    runs_left: Count
    """Backups that are active, wait, or are still to come in this run."""
    finish_time: Time
    """When the last of them ends, to five minutes."""
    read_bytes: Bytes
    """What they are likely to read of the VMs' disks."""
    upload_bytes: Bytes
    """What they are likely to send to the target."""
    late_machines: Count
    """How many VMs are likely to be late."""
    late: Annotated[list[LateMachine], Field(max_length=MAX_LATE)] = Field(default_factory=list)
    """The ten that are late by the most."""
    order: LineOrder
    """How the operator sorts each namespace's waiting backups now: as they came, or so that more deadlines are met."""
    summary: Word
    """The same for people."""
