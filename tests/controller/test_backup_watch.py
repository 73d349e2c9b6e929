"""What changes of VMBackups lead to, and which of them must stay."""

from typing import Any

import pytest
from tests.controller.conftest import SHOP

from safehold.controller.backup_watch import heed, is_unsettled, must_stay
from safehold.controller.memo import Operator
from safehold.controller.queue import Key, WorkQueue
from safehold.kube.client import Manifest, WatchEvent
from safehold.plan.names import FINALIZER, POLICY_UID

OVER = {"completionTime": "2026-11-22T14:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]}


def backup(status: dict[str, Any] | None = None, *, hold: bool = False, **metadata: Any) -> Manifest:
    """A VMBackup as the API server has it; one that is over has no finalizer."""
    held = [] if status is OVER else [FINALIZER]
    named = {"name": "nightly", "namespace": SHOP, "uid": "uid", "generation": 1, "finalizers": held, **metadata}
    return {"metadata": named, "spec": {"vm": {"name": "db"}, "hold": hold}, "status": status or {}}


@pytest.fixture
def looks(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """The keys that are looked at because of events."""
    found: list[Key] = []
    monkeypatch.setattr(WorkQueue, "add", lambda _, key: found.append(key))
    operator.queues["vmbackups"] = WorkQueue("vmbackups", _never)
    return found


async def _never(_: Key) -> float | None:
    return None


@pytest.mark.parametrize(
    ("kind", "found", "looked"),
    [
        ("LISTED", backup(), True),
        ("ADDED", backup(), True),
        ("MODIFIED", backup(generation=2), True),
        ("MODIFIED", backup(deletionTimestamp="2026-11-22T14:00:00Z"), True),
        ("DELETED", backup(OVER), True),
        # What the controller wrote itself.
        ("MODIFIED", backup({"phase": "Snapshotting"}), False),
        # There may be tens of thousands.
        ("LISTED", backup(OVER), False),
        ("MODIFIED", backup(OVER, generation=2), False),
        # Held after its end, or no longer: the finalizer has to follow.
        ("MODIFIED", backup(OVER, hold=True), True),
        ("LISTED", backup(OVER, finalizers=[FINALIZER]), True),
        ("MODIFIED", backup(OVER, hold=True, finalizers=[FINALIZER]), False),
        ("MODIFIED", backup(OVER, deletionTimestamp="2026-11-22T14:00:00Z"), True),
    ],
)
async def test_news_of_a_backup_is_looked_at(
    operator: Operator, looks: list[Key], kind: str, found: Manifest, looked: bool
) -> None:
    """What people change and what ends is; our own statuses and runs that are over are not."""
    heed(operator, WatchEvent("ADDED", backup()))
    before = len(looks)
    heed(operator, WatchEvent(kind, found))
    assert len(looks) - before == looked


async def test_a_backup_that_went_is_forgotten(operator: Operator, looks: list[Key]) -> None:
    """Nothing is kept of it, and of those that are over nothing is kept at all."""
    heed(operator, WatchEvent("LISTED", backup(OVER, uid="over")))
    assert operator.marks == {}
    heed(operator, WatchEvent("ADDED", backup()))
    operator.released.add("uid")
    heed(operator, WatchEvent("DELETED", backup()))
    assert (operator.marks, operator.released) == ({}, set())
    assert looks == [(SHOP, "nightly")] * 2


async def test_other_namespaces_are_others_business(operator: Operator, looks: list[Key]) -> None:
    """A controller that serves some namespaces looks at nothing elsewhere."""
    operator.settings.namespaces.append("elsewhere")
    heed(operator, WatchEvent("ADDED", backup()))
    assert looks == []


async def test_a_policy_is_looked_at_once_for_all_its_backups(operator: Operator) -> None:
    """Found by the uid that its VMBackups carry; one look follows a burst of them, and none a policy that is gone."""
    operator.policies["policy"] = ("backuppolicies", (SHOP, "gold"))
    queue = operator.queues["backuppolicies"] = WorkQueue("backuppolicies", _never)
    for number in range(5):
        heed(operator, WatchEvent("ADDED", backup(uid=f"backup-{number}", labels={POLICY_UID: "policy"})))
    assert (queue.depth(), queue.scheduled()) == (0, 1)
    operator.forget("policy")
    other = operator.queues["backuppolicies"] = WorkQueue("backuppolicies", _never)
    heed(operator, WatchEvent("ADDED", backup(uid="backup-9", labels={POLICY_UID: "policy"})))
    assert other.scheduled() == 0


@pytest.mark.parametrize(
    ("condition", "policy", "stays"),
    [
        (("Reconciling", "True"), "Retain", True),
        (None, "Retain", True),
        (("Ready", "True"), "Retain", False),
        (("Stalled", "True"), "Retain", False),
        (("Ready", "False"), "Retain", True),
        (("Ready", "True"), "Delete", True),
    ],
)
def test_a_backup_stays_while_it_is_active_or_takes_its_point_along(
    condition: tuple[str, str] | None, policy: str, stays: bool
) -> None:
    """Ended, well or badly, it goes at once, unless its point is to be forgotten first."""
    conditions = [{"type": condition[0], "status": condition[1]}] if condition else []
    found = {"metadata": {}, "spec": {"deletionPolicy": policy}, "status": {"conditions": conditions}}
    assert must_stay(found) is stays
    assert is_unsettled(found) is stays
    assert is_unsettled({**found, "metadata": {"finalizers": [FINALIZER]}}) is not stays
    assert not is_unsettled({**found, "metadata": {"deletionTimestamp": "2026-11-22T14:00:00Z"}})
