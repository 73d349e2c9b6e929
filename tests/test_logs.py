"""Logging of both programs."""

import json
import logging
from collections.abc import Iterator

import kopf
import pytest
from kopf._core.actions.loggers import LocalObjectLogger

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
def test_a_line_about_an_object_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    """What Kopf logs about an object carries which one, without the settings that Kopf attaches too."""
    logs.configure("INFO")
    body = kopf.Body({"kind": "VMBackup", "metadata": {"name": "db-1", "namespace": "shop"}})
    LocalObjectLogger(body=body, settings=kopf.OperatorSettings()).warning("It waits")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["k8s_ref"]["name"], told["message"]) == ("db-1", "It waits")
    assert "settings" not in told


@pytest.mark.usefixtures("configured")
def test_requests_of_the_stores_library_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Below warnings they would show headers, and headers show credentials."""
    logs.configure("DEBUG")
    for name in ("botocore.auth", "urllib3.connectionpool", "botocore.hooks"):
        logging.getLogger(name).debug("Authorization: secret")
        logging.getLogger(name).info("Authorization: secret")
    assert capsys.readouterr().err == ""
