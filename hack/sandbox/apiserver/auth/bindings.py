"""Which roles are bound to a user, and why."""

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.apiserver.auth.aggregation import aggregated_role
from sandbox.apiserver.auth.objects import RBAC_GROUP, Objects
from sandbox.apiserver.auth.policy import PolicyRule, read_rules
from sandbox.apiserver.auth.users import UserInfo, service_account_name
from sandbox.apiserver.objects import JsonObject, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives to a user."""

    rules: tuple[PolicyRule, ...]
    reason: str
    missing_role: str = ""
    """The sentence about a role that the binding names and that does not exist."""


def grants_of(objects: Objects, user: UserInfo, namespace: str) -> Iterator[Grant]:
    """All that is bound to the user in a namespace; cluster-wide bindings only, if the namespace is empty."""
    for binding in objects.list(RBAC_GROUP, "clusterrolebindings"):
        yield from _grant(objects, binding, user, "ClusterRoleBinding", name_of(binding))
    if namespace:
        for binding in objects.list(RBAC_GROUP, "rolebindings", namespace):
            yield from _grant(objects, binding, user, "RoleBinding", f"{name_of(binding)}/{namespace}")


def _grant(objects: Objects, binding: JsonObject, user: UserInfo, kind: str, title: str) -> Iterator[Grant]:
    subject = _matching_subject(binding, user)
    if subject is None:
        return
    reference = binding["roleRef"]
    role_kind, role_name = reference["kind"], reference["name"]
    reason = f'RBAC: allowed by {kind} "{title}" of {role_kind} "{role_name}" to {subject}'
    rules = bound_rules(objects, reference, namespace_of(binding))
    if rules is None:
        missing = f'{role_kind.lower()}.{RBAC_GROUP} "{role_name}" not found'
        yield Grant((), reason, missing)
    else:
        yield Grant(rules, reason)


def bound_rules(objects: Objects, reference: JsonObject, namespace: str) -> tuple[PolicyRule, ...] | None:
    """The rules of the role that a binding refers to, or None if there is no such role."""
    if reference["kind"] == "Role":
        role = objects.get(RBAC_GROUP, "roles", namespace, reference["name"])
        return None if role is None else read_rules(role)
    role = objects.get(RBAC_GROUP, "clusterroles", None, reference["name"])
    if role is None:
        return None
    if role.get("aggregationRule"):
        role = aggregated_role(role, objects.list(RBAC_GROUP, "clusterroles"))
    return read_rules(role)


def _matching_subject(binding: JsonObject, user: UserInfo) -> str | None:
    """The subject that is this user, as reviews describe it."""
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name", "")
        if (kind == "User" and name == user.name) or (kind == "Group" and name in user.groups):
            return f'{kind} "{name}"'
        if kind == "ServiceAccount":
            namespace = subject.get("namespace") or namespace_of(binding)
            if service_account_name(namespace, name) == user.name:
                return f'{kind} "{name}/{namespace}"'
    return None
