"""What became of a policy's VMs so far: the newest restore point of each, and its last failure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from safehold.plan.policy.facts import SelectedVM

Place = tuple[str, str]
"""Namespace and name of a VM."""


@dataclass(frozen=True, slots=True)
class LastFailure:
    """How the last backup that failed ended."""

    ended: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class MachineOutcome:
    """What one policy has of the VMs that were called so, one after another."""

    points: Mapping[str, datetime] = field(default_factory=dict)
    """By the VM's uid: the point in time that its newest restore point holds."""
    failure: LastFailure | None = None

    def failure_since(self, moment: datetime) -> LastFailure | None:
        """The last failure, if it came after `moment`."""
        return self.failure if self.failure is not None and self.failure.ended > moment else None


Outcomes = Mapping[Place, MachineOutcome]
NOTHING = MachineOutcome()


def newest_points(vms: Iterable[SelectedVM], outcomes: Outcomes) -> list[datetime]:
    """The newest restore point of each VM that has one."""
    found = ((vm.uid, outcomes.get((vm.namespace, vm.name), NOTHING)) for vm in vms)
    return [outcome.points[uid] for uid, outcome in found if uid in outcome.points]
