"""What a status has to say: the three conditions that kstatus reads, a documented reason, and a remedy."""

import re
from pathlib import Path

from sandbox.cluster.client import Object
from sandbox.demo.kubectl import condition

_DOCUMENTED = frozenset(
    re.findall(r"^\| `(\w+)` \|", (Path(__file__).parents[2] / "docs" / "reasons.md").read_text(), re.MULTILINE)
)


_OF_KSTATUS = ("Ready", "Reconciling", "Stalled")


def assert_ready(found: Object) -> None:
    """Ready, and neither Reconciling nor Stalled."""
    assert _statuses(found) == {"Ready": "True", "Reconciling": "False", "Stalled": "False"}, found["status"]


def assert_refused(found: Object, reason: str, remedy: str) -> None:
    """Stalled with this documented reason and a message that contains the remedy."""
    ready = condition(found, "Ready")
    said = (ready.get("reason"), ready.get("message"))
    assert ready.get("reason") == reason, said
    assert reason in _DOCUMENTED
    assert remedy in ready["message"], said
    assert _statuses(found) == {"Ready": "False", "Reconciling": "False", "Stalled": "True"}
    generation = found["metadata"]["generation"]
    assert {item["observedGeneration"] for item in found["status"]["conditions"]} == {generation}
    assert {item["reason"] for item in _read_by_kstatus(found)} == {reason}


def _statuses(found: Object) -> dict[str, str]:
    return {item["type"]: item["status"] for item in _read_by_kstatus(found)}


def _read_by_kstatus(found: Object) -> list[Object]:
    kinds = ("Ready", "Reconciling", "Stalled")
    return [item for item in found["status"]["conditions"] if item["type"] in kinds]
