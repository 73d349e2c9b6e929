"""The generated pages are in step with what they document."""

from pathlib import Path

import pytest

import gen_reasons_doc
import gen_reference
from generated_files import settle
from safehold.reasons import Reason


@pytest.mark.parametrize("files", [gen_reasons_doc.files(), gen_reference.files()], ids=["reasons", "reference"])
def test_no_drift(files: dict[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The page holds exactly what is generated."""
    assert settle(files, check=True) == 0, capsys.readouterr().err


def test_every_reason_is_explained() -> None:
    """Each reason has one row, in alphabetical order, with a sentence."""
    (page,) = gen_reasons_doc.files().values()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    assert [name.strip(" `") for name, _ in rows] == sorted(reason.value for reason in Reason)
    assert all(meaning.strip().endswith(".") or "log" in meaning for _, meaning in rows)


@pytest.mark.parametrize(
    "row",
    [
        "| `schedule` | string |  | When, as a cron line",
        '| `timeZone` | string | `"UTC"` |',
        "| `handles[].snapshotHandle` |",
        "| **`s3.bucket`** | string |",
        '| `consistency.level` | Crash \\| Filesystem \\| Application | `"Crash"` |',
        "- `spec`: spec is immutable: a VMRestore is one run; create another one",
    ],
)
def test_reference(row: str) -> None:
    """The reference shows nested fields, what is required, defaults, choices and rules."""
    (page,) = gen_reference.files().values()
    assert row in page.replace("**`handles[].snapshotHandle`**", "`handles[].snapshotHandle`")
