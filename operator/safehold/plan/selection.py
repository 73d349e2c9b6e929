"""Which objects a selector means."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from safehold.api.references import LabelRequirement, LabelSelector
from safehold.plan.names import EXCLUDE


class Labelled(Protocol):
    """Anything with labels."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The object's labels."""


LabelledT = TypeVar("LabelledT", bound=Labelled)


def _satisfies(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in (requirement.values or [])
        case "NotIn":
            return value is None or value not in (requirement.values or [])
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether the labels fulfil the whole selector. No selector, and an empty one, mean everything."""
    if selector is None:
        return True
    exact = all(labels.get(key) == value for key, value in (selector.match_labels or {}).items())
    return exact and all(_satisfies(requirement, labels) for requirement in selector.match_expressions or [])


def is_excluded(labels: Mapping[str, str]) -> bool:
    """Whether a VM opted out of every policy, with the label `safehold.dev/exclude=true`."""
    return labels.get(EXCLUDE) == "true"


def select_vms(selector: LabelSelector | None, vms: Iterable[LabelledT]) -> list[LabelledT]:
    """The VMs that a policy protects, in the given order."""
    return [vm for vm in vms if not is_excluded(vm.labels) and matches(selector, vm.labels)]


def select_namespaces(selector: LabelSelector, namespaces: Iterable[LabelledT]) -> list[LabelledT]:
    """The namespaces that a ClusterBackupPolicy reaches into, in the given order."""
    return [namespace for namespace in namespaces if matches(selector, namespace.labels)]


def as_query(selector: LabelSelector | None) -> str:
    """The selector as the API server's `labelSelector` parameter, so that only matching objects are listed."""
    if selector is None:
        return ""
    terms = [f"{key}={value}" for key, value in (selector.match_labels or {}).items()]
    for requirement in selector.match_expressions or []:
        values = ",".join(requirement.values or [])
        match requirement.operator:
            case "In":
                terms.append(f"{requirement.key} in ({values})")
            case "NotIn":
                terms.append(f"{requirement.key} notin ({values})")
            case "Exists":
                terms.append(requirement.key)
            case "DoesNotExist":
                terms.append(f"!{requirement.key}")
    return ",".join(terms)
