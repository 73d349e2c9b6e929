"""Which volume a claim is filled with, and why a claim is not."""

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.populate.objects import PRIME, facts
from tests.plan.restore.objects import GIB, SHAPE, TARGET, backup

from safehold.plan.job import JobFacts
from safehold.plan.populate.admission import Filling, admit, usable_target
from safehold.plan.populate.facts import CHOSEN_VOLUME, SOURCE_NAMESPACE, PopulateFacts
from safehold.plan.populate.reconcile import next_step
from safehold.plan.refusal import Refusal
from safehold.plan.restore.steps import Wait
from safehold.plan.tenancy import ALLOW_RESTORE_TO, NamespaceFacts
from safehold.reasons import Reason

ELSEWHERE = {SOURCE_NAMESPACE: "bank", CHOSEN_VOLUME: "data"}
BANK = NamespaceFacts(name="bank", uid="shop-uid", labels={}, annotations={})
OPEN = replace(BANK, annotations={ALLOW_RESTORE_TO: "shop-test"})
MINE = NamespaceFacts(name="shop-test", uid="test-uid", labels={}, annotations={})
FAILED = backup(conditions=[], restorePoint=None, failure={"reason": "JobFailed", "message": "no space"})


def test_the_chosen_volume_of_the_point() -> None:
    """By its annotation; a point of one disk needs none."""
    filling = admit(facts())
    assert isinstance(filling, Filling)
    assert filling.volume.name == "data"
    alone = backup()
    alone.status.volumes.pop(0)
    only = admit(facts(backup=alone, annotations={}))
    assert isinstance(only, Filling)
    assert only.volume.name == "data"


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (facts(backup=None), Reason.POINT_NOT_FOUND, "VMBackup shop/orders-1"),
        (facts(backup=FAILED), Reason.POINT_NOT_FOUND, "no space"),
        (facts(annotations={}), Reason.VOLUME_MISMATCH, "root, data"),
        (facts(annotations={CHOSEN_VOLUME: "absent"}), Reason.VOLUME_MISMATCH, "no volume absent"),
        (facts(shape=replace(SHAPE, size_bytes=GIB)), Reason.VOLUME_MISMATCH, "at least as large"),
        (facts(volume_name="pv-1"), Reason.CLAIM_CONFLICT, "leave out volumeName"),
        (facts(storage_class=None), Reason.VOLUME_MISMATCH, "StorageClass fast"),
    ],
)
def test_refusals(seen: PopulateFacts, reason: Reason, words: str) -> None:
    """Each with a sentence that says what to do."""
    refusal = admit(seen)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert words in refusal.message


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (facts(target=None), Reason.TARGET_NOT_FOUND),
        (facts(target=Refusal(Reason.TARGET_NOT_READY, "not yet")), Reason.TARGET_NOT_READY),
        (facts(target=replace(TARGET, repository_id="repo-2")), Reason.REPOSITORY_CHANGED),
    ],
)
def test_a_target_that_cannot_be_used(seen: PopulateFacts, reason: Reason) -> None:
    """Nothing is begun with it, but a worker that runs already is not stopped for it."""
    refusal = usable_target(seen, backup())
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    running = replace(seen, prime=PRIME, job=JobFacts(name="job", uid="job-uid"))
    assert isinstance(next_step(running).step, Wait)
    assert next_step(seen).event == reason.value


@pytest.mark.parametrize(
    ("source", "held", "allowed"),
    [(BANK, {}, False), (OPEN, {}, True), (BANK, {"backup": None}, False), (None, {}, False)],
)
def test_another_namespace_must_have_agreed(source: NamespaceFacts | None, held: dict[str, Any], allowed: bool) -> None:
    """As for a VMRestore; without consent it is not even said whether the VMBackup exists."""
    answer = admit(facts(namespace=MINE, source=source, annotations=ELSEWHERE, **held))
    assert isinstance(answer, Filling) is allowed
    assert allowed or (isinstance(answer, Refusal) and answer.reason is Reason.RESTORE_NOT_ALLOWED)
