"""Label and field selectors of lists and watches."""

import re
from collections.abc import Callable
from typing import Any

from sandbox.apiserver import statuses
from sandbox.apiserver.auth.aggregation import selects
from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.registry import Resource, ResourceVersion

Predicate = Callable[[JsonObject], bool]

_REQUIREMENT = re.compile(
    r"""\s*(?:
        !\s*(?P<absent>[^\s,!=()]+)
      | (?P<key>[^\s,!=()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^)]*)\)
      | (?P<name>[^\s,!=()<>]+)\s*(?P<operator>==|=|!=|>|<)\s*(?P<value>[^\s,()]*)
      | (?P<exists>[^\s,!=()]+)
    )\s*(?:,|$)""",
    re.VERBOSE,
)
_COMMON_FIELDS = ("metadata.name", "metadata.namespace")
_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.nominatedNodeName",
        "status.podIP",
    ),
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("events.k8s.io", "events"): (
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "reason",
        "type",
    ),
    ("", "secrets"): ("type",),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("batch", "jobs"): ("status.successful",),
    ("apps", "replicasets"): ("status.replicas",),
}


def label_predicate(text: str) -> Predicate | None:
    """The predicate of a labelSelector, or None if it selects everything."""
    if not text.strip():
        return None
    expressions: list[JsonObject] = []
    position = 0
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if not match or match.end() == position:
            message = f"unable to parse requirement: found '{text[position:]}', expected: identifier in \"{text}\""
            raise statuses.bad_request(message)
        expressions.append(_expression(match))
        position = match.end()
    selector = {"matchExpressions": expressions}
    return lambda item: selects(selector, item["metadata"].get("labels") or {})


def _expression(match: re.Match[str]) -> JsonObject:
    if match["absent"]:
        return {"key": match["absent"], "operator": "DoesNotExist"}
    if match["set"]:
        values = [value.strip() for value in match["values"].split(",")]
        return {"key": match["key"], "operator": "In" if match["set"] == "in" else "NotIn", "values": values}
    if match["exists"]:
        return {"key": match["exists"], "operator": "Exists"}
    if match["operator"] in (">", "<"):
        raise statuses.bad_request(f"operator {match['operator']} of label selectors is not served here")
    return {
        "key": match["name"],
        "operator": "NotIn" if match["operator"] == "!=" else "In",
        "values": [match["value"]],
    }


def field_predicate(text: str, resource: Resource, version: ResourceVersion) -> Predicate | None:
    """The predicate of a fieldSelector, or None if it selects everything."""
    if not text.strip():
        return None
    known = (*_COMMON_FIELDS, *_FIELDS.get((resource.group, resource.plural), ()), *version.selectable_fields)
    requirements = [_field_requirement(part, known) for part in text.split(",") if part]
    return lambda item: all((_text_at(item, path) == value) == equal for path, equal, value in requirements)


def _field_requirement(text: str, known: tuple[str, ...]) -> tuple[str, bool, str]:
    match = re.fullmatch(r"([^!=]+)(!=|==|=)(.*)", text)
    if not match:
        raise statuses.bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    path, operator, value = match.groups()
    if path not in known:
        raise statuses.bad_request(f"field label not supported: {path}")
    return path, operator != "!=", value


def _text_at(item: JsonObject, path: str) -> str:
    value: Any = item
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if path == "source" and isinstance(value, dict):
        value = value.get("component")
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def selector_text(selector: JsonObject) -> str:
    """A LabelSelector in the form of a labelSelector parameter, its requirements sorted by key."""
    texts = {(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()}
    texts |= {(each["key"], _expression_text(each)) for each in selector.get("matchExpressions") or ()}
    return ",".join(text for _, text in sorted(texts))


def _expression_text(expression: JsonObject) -> str:
    key, operator = expression["key"], expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return key if operator == "Exists" else f"!{key}"
    return f"{key} {operator.lower()} ({','.join(sorted(expression['values']))})"


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction; None selects everything."""
    if first is None or second is None:
        return first or second
    one, other = first, second
    return lambda item: one(item) and other(item)
