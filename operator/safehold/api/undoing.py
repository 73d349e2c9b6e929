"""What a restore in place keeps, so that it can be undone, and what its status tells of it."""

from typing import Literal

from safehold.api.base import ApiModel, Name, Sentence, Uid, rules
from safehold.api.durations import Duration

ReadinessPolicy = Literal["StopTarget", "FailImmediate", "WaitGracePeriod", "WaitEventually"]
"""KubeVirt's words for its own `targetReadinessPolicy`, with their meaning."""
SafetyPhase = Literal["Taking", "Taken", "Missing"]
KEPT_FOR: Duration = "7d"
"""How long replaced volumes are kept unless the restore says otherwise."""

UNDO_ONCE = rules(("self || !oldSelf", "undo goes from false to true, once: what was undone is restored anew"))
_IN_PLACE = "goes with mode InPlace, which replaces volumes"
UNDO_RULES = (
    ("!self.undo || self.target.mode == 'InPlace'", f"undo {_IN_PLACE}"),
    ("!has(self.safetySnapshot) || self.target.mode == 'InPlace'", f"safetySnapshot {_IN_PLACE}"),
    ("!has(self.keepOldVolumesFor) || self.target.mode == 'InPlace'", f"keepOldVolumesFor {_IN_PLACE}"),
)
"""Of a VMRestore's spec."""
UNDO_OF_A_COMPLETED = (
    "!self.spec.undo || (has(self.status) && has(self.status.completionTime))",
    "undo is for a restore that has ended: create the VMRestore without it, and set it to true afterwards",
)
"""At the root, where spec and status are seen together."""


class SafetySnapshot(ApiModel):
    """The VirtualMachineSnapshot that is taken of the stopped VM before its volumes are replaced."""

    name: Name
    """Its name, in the VM's namespace."""
    uid: Uid | None = None
    """Its uid."""
    phase: SafetyPhase
    """Taking, Taken, or Missing: the restore goes on without it, since the replaced volumes are kept anyway."""
    message: Sentence | None = None
    """Why there is none, or which volumes it lacks."""
