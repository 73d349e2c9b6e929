"""Which engine a volume gets, why no better one, and when its answers are verified."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.backup.objects import RULES, START, new_backup
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.api.capture import PullCapture, SnapshotHandle
from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.changes_facts import BaseFacts, ChangesFacts, Verification
from safehold.plan.backup.engines import EngineChoice, base_of, choose_engine, is_verification_due
from safehold.plan.backup.run import Run
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

HANDLE = SnapshotHandle(
    volume="data",
    volume_snapshot="vs",
    volume_snapshot_uid="vs-uid",
    content="content",
    content_uid="content-uid",
    driver="csi.example",
    snapshot_handle="physical-data",
    original_deletion_policy="Delete",
    restore_size_bytes=1,
    pair_name="pair",
    claim_name="clone",
)


def a_run(engines: list[str], *, verify_every: str = "7d", changes: ChangesFacts | None = None, **status: Any) -> Run:
    """A run that is about to start its worker."""
    world = World(new_backup(), service=True)
    wanted = {"engines": engines, "verifyEvery": verify_every}
    spec = world.backup.spec.model_copy(
        update={"changed_blocks": type(world.backup.spec.changed_blocks).model_validate(wanted)}
    )
    state = world.backup.status.model_copy(update={"handles": [HANDLE], "capture_time": START, **status})
    backup: VMBackup = world.backup.model_copy(update={"spec": spec, "status": state})
    facts = replace(world.facts(), changes=changes if changes is not None else world.changes())
    return Run(backup=backup, facts=facts, rules=RULES, now=START)


def choose(run: Run, **claim: Any) -> EngineChoice | Refusal:
    """The choice for the volume `data`, whose claim differs so."""
    volume = World(new_backup()).captured(World(new_backup()).volumes[0])
    assert volume.claim is not None
    changed: ClaimFacts = replace(volume.claim, **claim)
    return choose_engine(run, volume, changed)


SCANNED: list[tuple[list[str], dict[str, Any], str]] = [
    (["CSI", "Scan"], {"mode": "Filesystem"}, "Block volumes only"),
    (["CSI", "Scan"], {"driver": "csi.other"}, "csi.other offers no SnapshotMetadataService"),
    (["Scan"], {}, "prefers a scan"),
    (["Scan", "CSI"], {}, "prefers a scan"),
    (["KubeVirt", "Scan"], {}, "KubeVirt: the VM does not run"),
]


@pytest.mark.parametrize(("engines", "claim", "why"), SCANNED)
def test_a_scan_says_why_nothing_better_was_possible(engines: list[str], claim: dict[str, Any], why: str) -> None:
    """Each obstacle of an engine that is preferred is a part of the report's sentence."""
    refused = PullCapture(refusal="KubeVirt: the VM does not run")
    choice = choose(a_run(engines, pull=refused if "KubeVirt" in engines else None), **claim)
    assert isinstance(choice, EngineChoice)
    assert (choice.asked, choice.changes) == (False, None)
    assert why in choice.scan_reason


def test_the_driver_is_asked_and_the_snapshot_recorded() -> None:
    """The point will say which snapshot it is of, and a scan is the way out only where the spec has it."""
    choice = choose(a_run(["CSI", "Scan"]))
    strict = choose(a_run(["CSI"]))
    assert isinstance(choice, EngineChoice)
    assert isinstance(strict, EngineChoice)
    assert (choice.checkpoint, choice.may_scan, strict.may_scan) == ("physical-data", True, False)


def test_a_volume_that_fits_no_engine_is_refused_with_every_obstacle() -> None:
    """Where a scan is forbidden, the run says for which volume, and what to do."""
    refusal = choose(a_run(["KubeVirt", "CSI"], pull=PullCapture(refusal="KubeVirt: gone")), mode="Filesystem")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.ENGINE_NOT_AVAILABLE
    for part in ("volume data", "KubeVirt: gone", "Block volumes only", "Add Scan"):
        assert part in refusal.message


def test_a_backup_of_kubevirts_own_asks_kubevirt() -> None:
    """Whatever comes behind it in the list: the capture decided already, and only a Scan in the list allows one."""
    for engines, may_scan in ((["KubeVirt"], False), (["KubeVirt", "CSI", "Scan"], True)):
        choice = choose(a_run(engines, pull=PullCapture(name="pull")), mode="Filesystem")
        assert choice == EngineChoice(asked=True, may_scan=may_scan)


DUE: list[tuple[str, Verification | None, bool]] = [
    ("7d", None, False),
    ("7d", Verification(verified=START - timedelta(days=7), distrusted=False), True),
    ("7d", Verification(verified=START - timedelta(days=6), distrusted=False), False),
    ("7d", Verification(verified=START, distrusted=True), True),
    ("0", Verification(verified=START - timedelta(days=900), distrusted=False), False),
]


@pytest.mark.parametrize(("every", "known", "due"), DUE)
def test_verification_is_due_after_its_interval_and_while_distrusted(
    every: str, known: Verification | None, due: bool
) -> None:
    """A volume that was never asked about begins its term with the first run; 0 means never."""
    world = World(new_backup(), service=True)
    verifications = {"claim-data": known} if known else {}
    run = a_run(["CSI", "Scan"], verify_every=every, changes=replace(world.changes(), verifications=verifications))
    assert is_verification_due(run, "claim-data") == due
    choice = choose(run)
    assert isinstance(choice, EngineChoice)
    assert choice.verify == due


def test_a_distrusted_volume_that_is_never_verified_is_scanned() -> None:
    """Nothing could make its answers trusted again."""
    world = World(new_backup(), service=True)
    verifications = {"claim-data": Verification(verified=START, distrusted=True)}
    choice = choose(
        a_run(["CSI", "Scan"], verify_every="0", changes=replace(world.changes(), verifications=verifications))
    )
    assert isinstance(choice, EngineChoice)
    assert choice.changes is None
    assert "last verified answer was wrong" in choice.scan_reason


BASE = BaseFacts(
    name="base",
    uid="uid",
    claim_uid="claim-data",
    vm_uid="vm-uid",
    policy_uid=None,
    driver="csi.example",
    handle="old",
    created=START - timedelta(days=1),
    has_snapshot=True,
)
USABLE: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"claim_uid": "another"}, False),
    ({"driver": "csi.other"}, False),
    ({"has_snapshot": False}, False),
    ({"deleting": True}, False),
    ({"created": START - timedelta(days=8)}, False),
]


@pytest.mark.parametrize(("changes", "usable"), USABLE)
def test_a_base_must_be_of_the_claim_whole_and_young(changes: dict[str, Any], usable: bool) -> None:
    """Of another claim or driver, about to go, or older than the setting: it is not asked about."""
    run = a_run(["CSI"], changes=ChangesFacts(bases=(replace(BASE, **changes),)))
    claim = World(new_backup()).captured(World(new_backup()).volumes[0]).claim
    assert claim is not None
    assert (base_of(run, claim) is not None) == usable
