"""RBAC rules: what an action is, which rule allows it, and which rule covers another."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from sandbox.apiserver.objects import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What somebody wants to do: a verb on a resource, or on a path such as /healthz."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    """Set for requests outside of the resources; then only the verb matters beside it."""

    @property
    def combined_resource(self) -> str:
        """`pods`, or `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def __str__(self) -> str:
        if self.path:
            return f'{self.verb} path "{self.path}"'
        scope = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'{self.verb} resource "{self.combined_resource}" in API group "{self.group}" {scope}'


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One rule of a role; a `*` stands for all."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def allows(self, action: Action) -> bool:
        """True if the rule permits the action."""
        if not _has(self.verbs, action.verb):
            return False
        if action.path:
            return any(_path_matches(pattern, action.path) for pattern in self.paths)
        return (
            _has(self.groups, action.group)
            and self._has_resource(action.combined_resource)
            and (not self.names or action.name in self.names)
        )

    def _has_resource(self, resource: str) -> bool:
        _, slash, subresource = resource.partition("/")
        return _has(self.resources, resource) or (bool(slash) and f"*/{subresource}" in self.resources)

    def covers(self, other: "PolicyRule") -> bool:
        """True if whoever has this rule has all that `other`, a rule of one combination, gives."""
        if not all(_has(self.verbs, verb) for verb in other.verbs):
            return False
        if other.paths:
            return all(any(_path_matches(pattern, path) for pattern in self.paths) for path in other.paths)
        return (
            bool(self.resources)
            and all(_has(self.groups, group) for group in other.groups)
            and all(self._has_resource(resource) for resource in other.resources)
            and (not self.names or (bool(other.names) and set(other.names) <= set(self.names)))
        )

    def combinations(self) -> Iterable["PolicyRule"]:
        """The same rule, split into one rule for each combination of its parts."""
        for verb, group, resource in product(self.verbs, self.groups, self.resources):
            for name in self.names or (None,):
                names = () if name is None else (name,)
                yield PolicyRule(verbs=(verb,), groups=(group,), resources=(resource,), names=names)
        for verb, path in product(self.verbs, self.paths):
            yield PolicyRule(verbs=(verb,), paths=(path,))

    def document(self) -> JsonObject:
        """The rule as roles and reviews write it."""
        parts = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {key: list(values) for key, values in parts.items() if values}

    def __str__(self) -> str:
        parts = {
            "APIGroups": self.groups,
            "Resources": self.resources,
            "ResourceNames": self.names,
            "NonResourceURLs": self.paths,
            "Verbs": self.verbs,
        }
        shown = (f"{key}:[{_quoted(values)}]" for key, values in parts.items() if values)
        return "{" + ", ".join(shown) + "}"


def read_rules(role: JsonObject) -> tuple[PolicyRule, ...]:
    """The rules that are written in a Role or ClusterRole."""
    return tuple(
        PolicyRule(
            verbs=tuple(rule.get("verbs") or ()),
            groups=tuple(rule.get("apiGroups") or ()),
            resources=tuple(rule.get("resources") or ()),
            names=tuple(rule.get("resourceNames") or ()),
            paths=tuple(rule.get("nonResourceURLs") or ()),
        )
        for rule in role.get("rules") or ()
    )


def uncovered(held: Iterable[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The combinations of `wanted` that nobody has who holds only `held`."""
    owned = tuple(held)
    return [part for rule in wanted for part in rule.combinations() if not any(mine.covers(part) for mine in owned)]


def _has(allowed: tuple[str, ...], wanted: str) -> bool:
    return "*" in allowed or wanted in allowed


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)
