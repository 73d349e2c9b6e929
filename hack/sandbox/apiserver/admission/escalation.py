"""Roles and bindings give nobody more than their writer holds."""

from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.auth.escalation import EscalationGuard
from sandbox.apiserver.auth.objects import RBAC_GROUP


class EscalationCheck:
    """Asks auth.escalation about every write of an RBAC object."""

    def __init__(self, guard: EscalationGuard) -> None:
        self._guard = guard

    def admit(self, operation: Operation) -> None:
        """Refuse a role or binding that grants what the writer lacks."""
        request = operation.request
        if request.group == RBAC_GROUP and operation.item is not None:
            self._guard.check(request.user, request.plural, operation.item, operation.old)
