"""Authorization by RBAC, decided on the roles and bindings as they are at this moment."""

from dataclasses import dataclass

from sandbox.apiserver.auth.bindings import grants_of
from sandbox.apiserver.auth.objects import Objects
from sandbox.apiserver.auth.policy import Action, PolicyRule
from sandbox.apiserver.auth.users import MASTERS, UserInfo
from sandbox.apiserver.statuses import ApiError, forbidden

EVERYTHING = (
    PolicyRule(verbs=("*",), groups=("*",), resources=("*",)),
    PolicyRule(verbs=("*",), paths=("*",)),
)
"""The rules of cluster-admin and of system:masters."""


@dataclass(frozen=True, slots=True)
class Decision:
    """May the user do it, and which binding says so, or which roles were missing."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """Answers whether a user may do something."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def decide(self, user: UserInfo, action: Action) -> Decision:
        """The decision with its reason, for reviews."""
        if MASTERS in user.groups:
            return Decision(allowed=True)
        missing: list[str] = []
        for grant in grants_of(self._objects, user, action.namespace):
            if any(rule.allows(action) for rule in grant.rules):
                return Decision(allowed=True, reason=grant.reason)
            if grant.missing_role:
                missing.append(grant.missing_role)
        errors = missing[0] if len(missing) == 1 else "[" + ", ".join(missing) + "]"
        return Decision(allowed=False, reason=f"RBAC: {errors}" if missing else "")

    def allows(self, user: UserInfo, action: Action) -> bool:
        """True if the user may do it."""
        return self.decide(user, action).allowed

    def require(self, user: UserInfo, action: Action) -> None:
        """Refuse with 403 and the real server's sentence if the user may not do it."""
        decision = self.decide(user, action)
        if not decision.allowed:
            raise refusal(user, action, decision.reason)

    def rules(self, user: UserInfo, namespace: str) -> tuple[PolicyRule, ...]:
        """All rules that the user holds in a namespace (cluster-wide ones, if it is empty)."""
        if MASTERS in user.groups:
            return EVERYTHING
        return tuple(rule for grant in grants_of(self._objects, user, namespace) for rule in grant.rules)


def refusal(user: UserInfo, action: Action, reason: str = "") -> ApiError:
    """The 403 for an action that is not allowed."""
    why = f'User "{user.name}" cannot {action}' + (f": {reason}" if reason else "")
    if action.path:
        return ApiError(403, "Forbidden", f"forbidden: {why}", {})
    return forbidden(action.group, action.resource, action.name, why)
