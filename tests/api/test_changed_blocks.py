"""`changedBlocks`: defaults and times."""

from datetime import timedelta

import pytest

from safehold.api.changed_blocks import ChangedBlocks


@pytest.mark.parametrize(
    ("text", "interval"),
    [("0", None), ("12h", timedelta(hours=12)), ("7d", timedelta(days=7)), ("9999d", timedelta(days=9999))],
)
def test_verification_interval(text: str, interval: timedelta | None) -> None:
    """Hours and days become a time, 0 means never."""
    assert ChangedBlocks.model_validate({"verifyEvery": text}).verification_interval == interval


def test_defaults_ask_the_storage_first_and_never_the_hypervisor() -> None:
    """Unless told otherwise the storage is asked and a scan is the way out; KubeVirt's tracking must be asked for."""
    assert ChangedBlocks().engines == ["CSI", "Scan"]
    assert ChangedBlocks().verification_interval == timedelta(days=7)
