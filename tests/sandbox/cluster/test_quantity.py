"""Quantities as Kubernetes writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cluster.quantity import format_bytes, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("64Mi", 64 << 20), ("1.5Gi", 3 << 29), ("1k", 1000), ("1500m", 2), ("7", 7), ("1e3", 1000), ("2E", 2 * 10**18)],
)
def test_parsing(text: str, value: int) -> None:
    """Decimal and binary suffixes, fractions (rounded up) and exponents are understood."""
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "Mi", "1 Mi", "64MiB", "x"])
def test_nonsense(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@given(st.integers(min_value=0, max_value=1 << 70))
def test_formatting_loses_nothing(value: int) -> None:
    """What is printed reads as the same number of bytes."""
    assert parse_quantity(format_bytes(value)) == value
