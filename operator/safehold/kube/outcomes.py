"""What became of every policy's VMs, noted as their VMBackups are read anyway: no request is made for it.

VMBackups are a catalogue: the newest one of each policy, VM and outcome stays in it (plan/retention/catalogue.py), so
newest points and last failures are always known. Where a person deletes the newest, the next round finds the one
before it.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from safehold.kube.client import Manifest
from safehold.plan.names import POLICY_UID
from safehold.plan.policy.facts import is_made_by
from safehold.plan.policy.outcomes import NOTHING, LastFailure, MachineOutcome, Outcomes, Place

_Record = dict[str, dict[Place, MachineOutcome]]
"""By policy uid and VM."""


@dataclass(slots=True)
class OutcomeRecord:
    """Newest points and last failures, by policy. To be used from the event loop only."""

    _known: _Record = field(default_factory=dict)
    _renewed: _Record | None = None

    def of(self, policy_uid: str) -> Outcomes:
        """What is known of a policy's VMs."""
        return self._known.get(policy_uid, {})

    def note(self, found: Mapping[str, Any]) -> None:
        """Take over what a VMBackup says, if it is over, a policy made it, and it says something newer."""
        for record in (self._known, self._renewed):
            if record is not None:
                _note(record, found)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """While all VMBackups are read: what is not among them, nor noted meanwhile, is forgotten at the end."""
        self._renewed = {}
        try:
            yield
            self._known = self._renewed
        finally:
            self._renewed = None


def _note(record: _Record, found: Mapping[str, Any]) -> None:
    """Of thousands of objects, so they are read as they are, and only what is newer is looked at closely."""
    metadata, status = found["metadata"], found.get("status") or {}
    policy = (metadata.get("labels") or {}).get(POLICY_UID)
    if not policy or not status.get("completionTime"):
        return
    place = (sys.intern(metadata["namespace"]), found["spec"]["vm"]["name"])
    before = record.get(policy, {}).get(place, NOTHING)
    after = _with_point(before, status) if status.get("restorePoint") else _with_failure(before, status)
    if after is not before and _is_made_by(policy, found):
        record.setdefault(policy, {})[place] = after


def _with_point(before: MachineOutcome, status: Manifest) -> MachineOutcome:
    uid, captured = status.get("vmUID"), status.get("captureTime")
    if not uid or not captured:
        return before
    moment = datetime.fromisoformat(captured)
    known = before.points.get(uid)
    return before if known is not None and known >= moment else replace(before, points={**before.points, uid: moment})


def _with_failure(before: MachineOutcome, status: Manifest) -> MachineOutcome:
    failure, ended = status.get("failure"), datetime.fromisoformat(status["completionTime"])
    if not failure or (before.failure is not None and before.failure.ended >= ended):
        return before
    last = LastFailure(ended=ended, reason=sys.intern(failure["reason"]), message=failure["message"])
    return replace(before, failure=last)


def _is_made_by(policy: str, found: Mapping[str, Any]) -> bool:
    metadata = found["metadata"]
    return is_made_by(policy, name=metadata["name"], vm=found["spec"]["vm"]["name"], labels=metadata["labels"])
