"""Which VMs and namespaces selectors mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api import LabelSelector
from safehold.plan.selection import as_query, matches, select_namespaces, select_vms


@dataclass(frozen=True)
class Labelled:
    """An object with labels."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


def selector(**labels: str) -> LabelSelector:
    """A selector by exact labels."""
    return LabelSelector(match_labels=labels)


def requiring(key: str, operator: str, *values: str) -> LabelSelector:
    """A selector of one requirement."""
    requirement = {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
    return LabelSelector.model_validate({"matchExpressions": [requirement]})


@pytest.mark.parametrize(
    ("wanted", "labels", "expected"),
    [
        (None, {}, True),
        (LabelSelector(), {"tier": "gold"}, True),
        (selector(tier="gold"), {"tier": "gold", "app": "db"}, True),
        (selector(tier="gold"), {"tier": "silver"}, False),
        (selector(tier="gold"), {}, False),
        (selector(tier="gold", app="db"), {"tier": "gold"}, False),
        (requiring("tier", "In", "gold", "silver"), {"tier": "silver"}, True),
        (requiring("tier", "In", "gold"), {"tier": "bronze"}, False),
        (requiring("tier", "In", "gold"), {}, False),
        (requiring("tier", "NotIn", "gold"), {"tier": "bronze"}, True),
        (requiring("tier", "NotIn", "gold"), {"tier": "gold"}, False),
        (requiring("tier", "NotIn", "gold"), {}, True),
        (requiring("tier", "Exists"), {"tier": ""}, True),
        (requiring("tier", "Exists"), {}, False),
        (requiring("tier", "DoesNotExist"), {"app": "db"}, True),
        (requiring("tier", "DoesNotExist"), {"tier": ""}, False),
    ],
)
def test_matches(wanted: LabelSelector | None, labels: dict[str, str], expected: bool) -> None:
    """Requirements mean what they mean in every Kubernetes selector; none at all means everything."""
    assert matches(wanted, labels) is expected


def test_all_requirements_hold() -> None:
    """Exact labels and expressions must hold together."""
    both = LabelSelector(match_labels={"tier": "gold"}, match_expressions=requiring("app", "Exists").match_expressions)
    assert matches(both, {"tier": "gold", "app": "db"})
    assert not matches(both, {"tier": "gold"})
    assert not matches(both, {"app": "db"})


def test_opt_out() -> None:
    """A VM with safehold.dev/exclude=true is left out of every policy, also of one that selects all or names it."""
    excluded = Labelled("scratch", {"tier": "gold", "safehold.dev/exclude": "true"})
    kept = [Labelled("db", {"tier": "gold"}), Labelled("web", {"tier": "gold", "safehold.dev/exclude": "false"})]
    for wanted in (None, selector(tier="gold")):
        assert select_vms(wanted, [kept[0], excluded, kept[1]]) == kept


def test_namespaces() -> None:
    """A cluster policy reaches into the namespaces whose labels match; an empty selector reaches into all."""
    namespaces = [Labelled("payments", {"backup": "yes"}), Labelled("play")]
    assert select_namespaces(selector(backup="yes"), namespaces) == namespaces[:1]
    assert select_namespaces(LabelSelector(), namespaces) == namespaces


@pytest.mark.parametrize(
    ("wanted", "query"),
    [
        (None, ""),
        (LabelSelector(), ""),
        (selector(tier="gold", app="db"), "tier=gold,app=db"),
        (requiring("tier", "In", "gold", "silver"), "tier in (gold,silver)"),
        (requiring("tier", "NotIn", "gold"), "tier notin (gold)"),
        (requiring("tier", "Exists"), "tier"),
        (requiring("tier", "DoesNotExist"), "!tier"),
    ],
)
def test_query(wanted: LabelSelector | None, query: str) -> None:
    """The API server is asked for the same objects, in the syntax of its labelSelector parameter."""
    assert as_query(wanted) == query


KEYS, VALUES = st.sampled_from(["a", "b"]), st.sampled_from(["1", "2", ""])
LABELS = st.dictionaries(KEYS, VALUES)


@given(KEYS, st.lists(VALUES, min_size=1), LABELS)
def test_opposites(key: str, values: list[str], labels: dict[str, str]) -> None:
    """In and NotIn, and Exists and DoesNotExist, divide all objects between them."""
    for one, other, given_values in (("In", "NotIn", values), ("Exists", "DoesNotExist", [])):
        chosen = matches(requiring(key, one, *given_values), labels)
        assert chosen is not matches(requiring(key, other, *given_values), labels)
