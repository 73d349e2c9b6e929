"""Nobody may write a role or binding that gives more than the writer holds."""

from collections.abc import Iterable

from sandbox.apiserver.auth.authorization import EVERYTHING, Authorizer
from sandbox.apiserver.auth.bindings import bound_rules
from sandbox.apiserver.auth.objects import RBAC_GROUP, Objects
from sandbox.apiserver.auth.policy import Action, PolicyRule, read_rules, uncovered
from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.objects import JsonObject, name_of, namespace_of
from sandbox.apiserver.statuses import forbidden, not_found


class EscalationGuard:
    """Checks writes of RBAC objects; raises the 403 of the real server."""

    def __init__(self, objects: Objects, authorizer: Authorizer) -> None:
        self._objects = objects
        self._authorizer = authorizer

    def check(self, user: UserInfo, plural: str, obj: JsonObject, old: JsonObject | None = None) -> None:
        """Check a create (old is None) or an update of a role or binding; other resources pass.

        An update that changes nothing that gives rights passes, so that labels stay editable.
        """
        if plural in ("roles", "clusterroles"):
            if old is None or _granted(obj) != _granted(old):
                self._check_role(user, plural, obj)
        elif plural in ("rolebindings", "clusterrolebindings") and (old is None or _bound(obj) != _bound(old)):
            self._check_binding(user, plural, obj)

    def _check_role(self, user: UserInfo, plural: str, role: JsonObject) -> None:
        name, namespace = name_of(role), namespace_of(role)
        action = Action(verb="escalate", group=RBAC_GROUP, resource=plural, namespace=namespace, name=name)
        if self._authorizer.allows(user, action):
            return
        held = self._authorizer.rules(user, namespace)
        if role.get("aggregationRule") and uncovered(held, EVERYTHING):
            raise forbidden(RBAC_GROUP, plural, name, "must have cluster-admin privileges to use an aggregationRule")
        _refuse_uncovered(user, held, read_rules(role), plural, name)

    def _check_binding(self, user: UserInfo, plural: str, binding: JsonObject) -> None:
        reference, namespace = binding["roleRef"], namespace_of(binding)
        resource = "roles" if reference["kind"] == "Role" else "clusterroles"
        action = Action(verb="bind", group=RBAC_GROUP, resource=resource, namespace=namespace, name=reference["name"])
        if self._authorizer.allows(user, action):
            return
        rules = bound_rules(self._objects, reference, namespace)
        if rules is None:
            raise not_found(RBAC_GROUP, resource, reference["name"])
        _refuse_uncovered(user, self._authorizer.rules(user, namespace), rules, plural, name_of(binding))


def _refuse_uncovered(
    user: UserInfo, held: Iterable[PolicyRule], wanted: Iterable[PolicyRule], plural: str, name: str
) -> None:
    missing = uncovered(held, wanted)
    if missing:
        groups = " ".join(f'"{group}"' for group in user.groups)
        lines = "\n".join(sorted(str(rule) for rule in compact(missing)))
        why = (
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions '
            f"not currently held:\n{lines}"
        )
        raise forbidden(RBAC_GROUP, plural, name, why)


def compact(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Rules that differ only in the verb, joined into one each."""
    joined: dict[tuple[tuple[str, ...], ...], PolicyRule] = {}
    for rule in rules:
        key = (rule.groups, rule.resources, rule.names, rule.paths)
        verbs = joined[key].verbs if key in joined else ()
        joined[key] = PolicyRule(
            verbs=(*verbs, *(verb for verb in rule.verbs if verb not in verbs)),
            groups=rule.groups,
            resources=rule.resources,
            names=rule.names,
            paths=rule.paths,
        )
    return list(joined.values())


def _granted(role: JsonObject) -> tuple[object, object]:
    return role.get("rules") or [], role.get("aggregationRule")


def _bound(binding: JsonObject) -> tuple[object, object]:
    return binding.get("subjects") or [], binding.get("roleRef")
