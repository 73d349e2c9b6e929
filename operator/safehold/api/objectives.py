"""`objectives` of a policy: how old the newest restore point of a VM may get, and which VMs are behind."""

from typing import Annotated

from pydantic import Field

from safehold.api.base import ApiModel, Count, Sentence, Time, Uid, Word
from safehold.api.durations import Duration, duration_between

MAX_WORST = 10
MAX_AWAITED = 128
"""VMs without a point whose first match is remembered. Of more than that, a VM counts from its creation."""
MachineName = Annotated[str, Field(max_length=317)]
Rpo = Annotated[Duration, Field(json_schema_extra=duration_between("rpo", "15m", "8784h"))]


class Objectives(ApiModel):
    """What a policy is held to. It changes nothing about when runs start."""

    rpo: Rpo | None = None
    """How old the newest restore point of a VM may get, such as `24h`; of a VM without one, how long it may wait.

    Absent: as old as the schedule lets it get. A VM is then behind once `startingDeadline` is over for a run of which
    it has no point, or, without a deadline, once its next run has begun.
    """


class OverdueMachine(ApiModel):
    """A VM that is behind its objective. Exactly one of the two times is there: its age counts from it."""

    name: MachineName
    """The VM; `namespace/name` where the policy is a cluster's."""
    last_point_time: Time | None = None
    """The point in time that its newest restore point of this policy holds; absent: it has none."""
    matched_since: Time | None = None
    """Where it has no point: since when the policy's selectors match it."""
    reason: Word
    """Why, in one word: that of its last failure, or else the policy's own."""
    message: Sentence
    """The same for people."""


class AwaitedMachine(ApiModel):
    """A VM that has no restore point of this policy yet."""

    name: MachineName
    """The VM; `namespace/name` where the policy is a cluster's."""
    uid: Uid
    """Its uid: one that is created again under its old name is another VM."""
    since: Time
    """Since when the policy's selectors match it."""


class ObjectivesStatus(ApiModel):
    """How a policy's VMs stand."""

    matched_machines: Count | None = None
    """How many VMs the selectors match now, without those that opted out."""
    excluded_machines: Count | None = None
    """How many more they would match that opted out with the label `safehold.dev/exclude=true`."""
    protected_machines: Count | None = None
    """How many of the matched ones have a restore point of this policy that is as recent as `objectives` demand."""
    overdue_machines: Count | None = None
    """How many are behind; the others wait for their first point. Absent while nothing is demanded."""
    worst_machines: Annotated[list[OverdueMachine], Field(max_length=MAX_WORST)] = Field(default_factory=list)
    """The ten that are behind by most."""
    awaited_machines: Annotated[list[AwaitedMachine], Field(max_length=MAX_AWAITED)] = Field(default_factory=list)
    """VMs that have no restore point of this policy yet, the longest waiting first."""
    schedule_since: Time | None = None
    """Since when the present schedule counts: no earlier run of it was promised. Absent while none starts."""
