"""A census of uids: small enough for a Secret, and never silent about one that was counted."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.census import Census
from safehold.errors import UsageError

SECRET_BYTES = 1024 * 1024


@given(st.sets(st.uuids().map(str)))
def test_whoever_was_counted_is_found(uids: set[str]) -> None:
    """Also after it was written and read; the text depends on the uids alone."""
    text = Census.of(uids).text()
    assert all(uid in Census.parse(text) for uid in uids)
    assert Census.of(sorted(uids, reverse=True)).text() == text


def test_a_hundred_thousand_machines_fit_into_a_secret() -> None:
    """With room for rules, key and credentials; strangers are not taken for one of them."""
    census = Census.of(str(uuid.UUID(int=number)) for number in range(100_000))
    assert len(census.text()) < 0.8 * SECRET_BYTES
    assert not any(str(uuid.UUID(int=2**100 + number)) in census for number in range(1_000))


@pytest.mark.parametrize("text", ["AAAA", "not base64"])
def test_a_census_that_is_not_whole_is_refused(text: str) -> None:
    """Otherwise a VM that exists could be taken for one that is gone."""
    with pytest.raises(UsageError, match="census"):
        Census.parse(text)
