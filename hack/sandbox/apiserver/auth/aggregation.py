"""ClusterRoles that gather the rules of others by label."""

from collections.abc import Iterable, Mapping

from sandbox.apiserver.objects import JsonObject, name_of


def aggregated_role(role: JsonObject, cluster_roles: Iterable[JsonObject]) -> JsonObject:
    """The ClusterRole with the rules that its aggregationRule gathers; itself if it has none.

    On a real cluster a controller writes them; as roles are read at each decision, they are gathered here on the spot.
    """
    if not role.get("aggregationRule"):
        return role
    rules: list[JsonObject] = []
    _gather(role, sorted(cluster_roles, key=name_of), rules, seen=set())
    return {**role, "rules": rules}


def _gather(role: JsonObject, cluster_roles: list[JsonObject], rules: list[JsonObject], *, seen: set[str]) -> None:
    """Add the rules of all roles that `role` selects, through roles that themselves only gather."""
    seen.add(name_of(role))
    selectors = role["aggregationRule"].get("clusterRoleSelectors") or ()
    for other in cluster_roles:
        labels = other.get("metadata", {}).get("labels") or {}
        if name_of(other) in seen or not any(selects(selector, labels) for selector in selectors):
            continue
        if other.get("aggregationRule"):
            _gather(other, cluster_roles, rules, seen=seen)
        else:
            rules.extend(rule for rule in other.get("rules") or () if rule not in rules)


def selects(selector: JsonObject, labels: Mapping[str, str]) -> bool:
    """True if a label selector (matchLabels, matchExpressions) matches."""
    exact = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _fulfils(expression, labels) for expression in expressions
    )


def _fulfils(expression: JsonObject, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
