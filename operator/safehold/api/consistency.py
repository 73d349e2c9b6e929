"""How well quiesced a capture must be, and what happens when it is not."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from safehold.api.base import ApiModel, rules
from safehold.api.durations import Duration, parse_duration

ConsistencyLevel = Literal["Crash", "Filesystem", "Application"]
"""What a policy may demand."""
OnFailure = Literal["Fallback", "Fail"]

_FREEZE_BOUNDS = rules(
    (
        "self.matches('^([0-9]+[ms])+$') && duration(self) >= duration('10s') && duration(self) <= duration('10m')",
        "freezeTimeout must be between 10s and 10m, in minutes and seconds, such as 60s",
    )
)


class Consistency(ApiModel):
    """How well quiesced a capture must be. The guest is always asked to freeze, whatever is demanded."""

    level: ConsistencyLevel = "Crash"
    """What is demanded.

    Crash: as after a power cut. Filesystem: the guest agent froze the file systems, or the VM was stopped.
    Application: every hook succeeded as well.
    """
    on_failure: OnFailure | None = None
    """What happens when the guest cannot be frozen, or a capture is weaker than `level`.

    Fail: the backup fails before a byte is moved. Fallback: the best that could be had is kept, at worst volume
    snapshots without a freeze, and the status says what it is. Absent: Fallback where `level` is Crash, else Fail.
    """
    freeze_timeout: Annotated[Duration, Field(json_schema_extra=_FREEZE_BOUNDS)] = "60s"
    """How long KubeVirt may take to freeze the guest and to cut its volumes; then it thaws and gives up."""

    @property
    def freeze_limit(self) -> timedelta:
        """`freeze_timeout` as a time."""
        return parse_duration(self.freeze_timeout)

    @property
    def falls_back(self) -> bool:
        """Whether a capture that is weaker than `level` is kept."""
        return self.on_failure == "Fallback" or (self.on_failure is None and self.level == "Crash")
