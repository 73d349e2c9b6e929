"""What a watch's events lead to."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import kopf
import pytest

from safehold.controller.memo import Operator
from safehold.controller.queue import Key, WorkQueue
from safehold.controller.watches import object_changed, restore_holds

RESTORES = kopf.Resource(group="safehold.dev", version="v1alpha1", plural="vmrestores")
METADATA: dict[str, Any] = {"name": "back", "namespace": "shop", "uid": "uid", "generation": 1, "finalizers": []}

Tell = Callable[..., Any]


@pytest.fixture
def looks(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """The keys that are looked at because of events."""
    found: list[Key] = []

    async def reconcile(_: Key) -> None:
        return None

    queue = WorkQueue("vmrestores", reconcile)
    monkeypatch.setattr(WorkQueue, "add", lambda _, key: found.append(key))
    operator.queues["vmrestores"] = queue
    return found


@pytest.fixture
def tell(operator: Operator) -> Tell:
    """Tells of an event; `metadata` replaces parts of it."""
    # Kopf types handlers as its own calls of them, with all that a handler may ask for.
    handler = cast("Callable[..., Awaitable[None]]", object_changed)

    async def event(kind: str | None, status: dict[str, Any] | None = None, **metadata: Any) -> None:
        body = {"metadata": {**METADATA, **metadata}, "spec": {}, "status": status or {}}
        await handler(
            resource=RESTORES,
            namespace="shop",
            name="back",
            uid="uid",
            event={"type": kind, "object": body},
            body=body,
            memo=operator,
        )

    return event


async def test_our_own_statuses_are_no_news(looks: list[Key], tell: Tell) -> None:
    """A status that the controller wrote leads to no look: otherwise nothing could ever be tried again later."""
    await tell("ADDED")
    await tell("MODIFIED", {"phase": "Preparing"})
    await tell("MODIFIED", {"phase": "Filling"})
    assert looks == [("shop", "back")]


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"deletionTimestamp": "2026-11-22T12:00:00Z"},
        {"finalizers": ["other/one"]},
        {"annotations": {"safehold.dev/run-now": "before-upgrade"}},
    ],
)
async def test_what_people_change_is_news(looks: list[Key], tell: Tell, change: dict[str, Any]) -> None:
    """A new spec, a deletion, a finalizer and a run that is asked for are looked at at once."""
    await tell("ADDED")
    await tell("MODIFIED", **change)
    assert len(looks) == 2


async def test_a_listing_is_looked_at(looks: list[Key], tell: Tell) -> None:
    """After a watch was interrupted nobody knows what was missed."""
    await tell("ADDED")
    await tell(None)
    assert len(looks) == 2


async def test_an_object_that_went_is_looked_at_and_forgotten(looks: list[Key], tell: Tell, operator: Operator) -> None:
    """The end is news even of a run that was over, and nothing is kept of it."""
    await tell("ADDED")
    await tell("DELETED", {"completionTime": "2026-11-22T12:00:00Z"})
    assert len(looks) == 2
    assert operator.marks == {}


@pytest.mark.parametrize(
    ("condition", "held"),
    [
        (("Reconciling", "True"), True),
        (None, True),
        (("Ready", "True"), False),
        (("Stalled", "True"), False),
        (("Ready", "False"), True),
    ],
)
def test_a_restore_is_held_while_it_is_active(condition: tuple[str, str] | None, held: bool) -> None:
    """Ended, well or badly, it goes at once."""
    conditions = [{"type": condition[0], "status": condition[1]}] if condition else []
    assert restore_holds({"spec": {}, "status": {"conditions": conditions}}) is held


@pytest.mark.parametrize(
    ("dry_run", "ended", "held"), [(True, False, False), (False, False, True), (False, True, False)]
)
def test_a_restore_is_held_from_when_its_dry_run_is_set_to_false(dry_run: bool, ended: bool, held: bool) -> None:
    """A plan alone holds nothing; its conditions are those of the plan until the restore that follows begins."""
    status: dict[str, object] = {"plan": {}, "conditions": [{"type": "Ready", "status": "True"}]}
    body = {"spec": {"dryRun": dry_run}, "status": status | ({"completionTime": "now"} if ended else {})}
    assert restore_holds(body) is held
