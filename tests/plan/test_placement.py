"""The nodes that can reach all volumes of a VM."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.plan.placement import common_nodes
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

KEYS, VALUES = ("zone", "node"), ("a", "b", "c")
REQUIREMENTS = st.builds(
    lambda key, operator, values: {"key": key, "operator": operator, "values": sorted(values)},
    st.sampled_from(KEYS),
    st.sampled_from(("In", "NotIn")),
    st.sets(st.sampled_from(VALUES), min_size=1),
)
TERMS = st.lists(REQUIREMENTS, min_size=1, max_size=3).map(lambda found: {"matchExpressions": found})
SELECTORS = st.none() | st.lists(TERMS, min_size=1, max_size=3).map(lambda found: {"nodeSelectorTerms": found})


def on(*nodes: str) -> dict[str, Any]:
    """The selector of a volume that lies on one of these nodes."""
    expression = {"key": "node", "operator": "In", "values": list(nodes)}
    return {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}


def fulfils(node: dict[str, str], selector: Any) -> bool:
    """What the scheduler would say."""
    return selector is None or any(
        all((node[item["key"]] in item["values"]) == (item["operator"] == "In") for item in term["matchExpressions"])
        for term in selector["nodeSelectorTerms"]
    )


@given(st.lists(SELECTORS, max_size=4))
def test_the_common_selector_means_all_of_them(selectors: list[Any]) -> None:
    """A node fulfils it exactly if it fulfils each; a refusal means that no node does."""
    common = common_nodes({f"v{number}": selector for number, selector in enumerate(selectors)})
    for zone, name in product(VALUES, VALUES):
        node = {"zone": zone, "node": name}
        wanted = all(fulfils(node, selector) for selector in selectors)
        assert wanted == (not isinstance(common, Refusal) and fulfils(node, common))


def test_many_volumes_of_one_node_make_one_term() -> None:
    """The selector does not grow with the number of disks."""
    assert common_nodes({f"v{number}": on("a", "b") for number in range(64)}) == on("a", "b")


@pytest.mark.parametrize("volumes", [{}, {"root": None, "data": None}])
def test_volumes_that_every_node_reaches_restrict_nothing(volumes: dict[str, None]) -> None:
    """The pod gets no affinity at all."""
    assert common_nodes(volumes) is None


def test_volumes_of_different_nodes_are_refused_by_their_names() -> None:
    """The scheduler would let the pod wait for ever, and not say why."""
    refusal = common_nodes({"root": on("a"), "data": on("b")})
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNSCHEDULABLE
    assert "volume data together with root" in refusal.message
