"""Sizes as Kubernetes writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.errors import ClusterError
from safehold.plan.quantities import parse_bytes

QUANTITIES = [
    ("0", 0),
    (5, 5),
    ("64Mi", 64 << 20),
    ("1.5Gi", 3 << 29),
    ("10G", 10**10),
    ("1e3", 1000),
    ("1E3", 1000),
    ("1E", 10**18),
    ("2k", 2000),
    ("1500m", 2),
    ("0.1Ki", 103),
]


@pytest.mark.parametrize(("quantity", "size"), QUANTITIES)
def test_a_quantity_is_read_as_bytes(quantity: str | int, size: int) -> None:
    """Binary and decimal units, exponents and fractions, rounded up."""
    assert parse_bytes(quantity) == size


@given(st.integers(0, 1 << 23), st.sampled_from(["Ki", "Mi", "Gi", "Ti"]))
def test_binary_units_are_exact(number: int, unit: str) -> None:
    """No size is ever rounded by a float."""
    assert parse_bytes(f"{number}{unit}") == number << (10 * (1 + ["Ki", "Mi", "Gi", "Ti"].index(unit)))


@pytest.mark.parametrize("wrong", ["", "Mi", "1 Mi", "1Zi", "1..5", ".", "-1", "ten"])
def test_what_is_no_quantity_is_refused(wrong: str) -> None:
    """A malformed size is an error of ours, not a crash."""
    with pytest.raises(ClusterError):
        parse_bytes(wrong)
