"""Logging of both programs."""

import json
import logging
from collections.abc import Iterator

import pytest

from safehold import logs


@pytest.fixture
def configured() -> Iterator[None]:
    """Logging as a program has it; as it was before, afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logs.configure("INFO", run="run-1")
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("configured")
def test_a_line_is_json_with_what_was_bound(capsys: pytest.CaptureFixture[str]) -> None:
    """Log collectors find the run by its id; tracebacks are part of the line."""
    logs.configure("INFO", run="run-1")
    try:
        int("the cause")
    except ValueError:
        logging.getLogger("safehold.test").exception("It failed for %s", "a reason")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("ERROR", "safehold.test", "It failed for a reason")
    assert told["run"] == "run-1"
    assert "ValueError: invalid literal" in told["exc_info"]


@pytest.mark.usefixtures("configured")
def test_requests_of_the_stores_library_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Below warnings they would show headers, and headers show credentials."""
    logs.configure("DEBUG")
    for name in ("botocore.auth", "urllib3.connectionpool", "boto3.resources"):
        logging.getLogger(name).debug("Authorization: secret")
        logging.getLogger(name).info("Authorization: secret")
    assert capsys.readouterr().err == ""
