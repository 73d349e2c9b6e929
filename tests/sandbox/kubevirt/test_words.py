"""Durations, run strategies, statuses of volumes, and what admission refuses: tables without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cluster.client import Object
from sandbox.kubevirt.api.admission import check_machine, check_restore, check_snapshot, review_response
from sandbox.kubevirt.durations import format_duration, parse_duration
from sandbox.kubevirt.machines.lifecycle import Action, decide, start_failure
from sandbox.kubevirt.machines.vm_status import printable_status
from sandbox.kubevirt.volumes import claim_names, snapshot_class, volume_snapshot_statuses

_NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m0s", 300), ("1h30m", 5400), ("90s", 90), ("1.5s", 1.5), ("300ms", 0.3), ("0", 0), ("0s", 0), ("-2m", -120)],
)
def test_go_durations_are_read(text: str, seconds: float) -> None:
    """The forms of time.ParseDuration."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 minutes", 'time: unknown unit " minutes" in duration "5 minutes"'),
        ("5", 'time: missing unit in duration "5"'),
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
    ],
)
def test_bad_durations_are_refused_in_gos_words(text: str, message: str) -> None:
    """The message is the one that KubeVirt's webhook passes on."""
    with pytest.raises(ValueError, match="time: ") as caught:
        parse_duration(text)
    assert str(caught.value) == message


@given(st.integers(0, 10**6))
def test_durations_are_printed_so_that_they_can_be_read(seconds: int) -> None:
    """Printing and reading are inverse for whole seconds."""
    assert parse_duration(format_duration(seconds)) == seconds


def _vm(strategy: str = "Always", **status: Any) -> dict[str, Any]:
    return {
        "kind": "VirtualMachine",
        "metadata": {"name": "vm", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"runStrategy": strategy, "template": {"spec": {"domain": {}}}},
        "status": status,
    }


def _vmi(phase: str, uid: str = "i", **metadata: Any) -> dict[str, Any]:
    timestamps = [{"phase": "Pending"}, {"phase": phase}]
    return {"metadata": {"uid": uid, **metadata}, "status": {"phase": phase, "phaseTransitionTimestamps": timestamps}}


@pytest.mark.parametrize(
    ("strategy", "phase", "action"),
    [
        ("Always", None, Action.START),
        ("Always", "Running", Action.KEEP),
        ("Always", "Succeeded", Action.STOP),
        ("Always", "Failed", Action.STOP),
        ("Halted", None, Action.KEEP),
        ("Halted", "Running", Action.STOP),
        ("Halted", "Succeeded", Action.STOP),
        ("RerunOnFailure", None, Action.START),
        ("RerunOnFailure", "Failed", Action.STOP),
        ("RerunOnFailure", "Succeeded", Action.KEEP),
        ("Manual", None, Action.KEEP),
        ("Manual", "Running", Action.KEEP),
        ("Manual", "Failed", Action.KEEP),
    ],
)
def test_run_strategies(strategy: str, phase: str | None, action: Action) -> None:
    """What each strategy does with each phase of the instance."""
    assert decide(_vm(strategy), _vmi(phase) if phase else None, _NOW).action is action


@pytest.mark.parametrize(
    ("requests", "vmi", "action", "open_requests"),
    [
        ([{"action": "Start"}], None, Action.START, 1),
        ([{"action": "Start"}], _vmi("Running"), Action.KEEP, 0),
        ([{"action": "Stop", "uid": "i"}], _vmi("Running"), Action.STOP, 1),
        ([{"action": "Stop", "uid": "gone"}], _vmi("Running"), Action.KEEP, 0),
        ([{"action": "Stop", "uid": "i"}, {"action": "Start"}], None, Action.START, 1),
        ([{"action": "Stop", "uid": "i"}, {"action": "Start"}], _vmi("Running"), Action.STOP, 2),
        ([{"action": "Stop", "uid": "i"}, {"action": "Start"}], _vmi("Running", "new"), Action.KEEP, 0),
    ],
)
def test_manual_requests_are_done_once(
    requests: list[dict[str, str]], vmi: dict[str, Any] | None, action: Action, open_requests: int
) -> None:
    """A stop names its instance, a start is done when there is one: repeating either changes nothing."""
    decision = decide(_vm("Manual", stateChangeRequests=requests), vmi, _NOW)
    assert (decision.action, len(decision.requests)) == (action, open_requests)


def test_a_machine_that_never_came_up_is_retried_later_and_later() -> None:
    """Each failed start doubles the delay; an instance that had run is started again at once."""
    vm = _vm()
    delays = []
    for uid in ("a", "b", "c"):
        vm["status"]["startFailure"] = failure = start_failure(vm, _vmi("Failed", uid), _NOW)
        assert failure
        delays.append((datetime.fromisoformat(failure["retryAfterTimestamp"]) - _NOW).total_seconds())
        assert decide(vm, None, _NOW).action is Action.KEEP
    assert delays == [10, 20, 40]
    assert printable_status(vm, None, {}, _NOW) == "CrashLoopBackOff"
    ran = _vmi("Failed", "d")
    ran["status"]["phaseTransitionTimestamps"].insert(1, {"phase": "Running"})
    assert start_failure(_vm(), ran, _NOW) is None


def test_a_machine_is_not_started_while_it_is_restored() -> None:
    """Always waits for the restore; an instance in its deletion is left alone."""
    assert decide(_vm(restoreInProgress="r"), None, _NOW).action is Action.KEEP
    ending = _vmi("Running", deletionTimestamp="2026-11-22T09:00:00Z")
    assert decide(_vm("Halted"), ending, _NOW).action is Action.KEEP


@pytest.mark.parametrize(
    ("vmi", "claim_phase", "word"),
    [
        (None, "Bound", "Stopped"),
        (_vmi("Pending"), "Bound", "Starting"),
        (_vmi("Scheduling"), "Pending", "WaitingForVolumeBinding"),
        (_vmi("Running"), "Bound", "Running"),
        (_vmi("Succeeded"), "Bound", "Stopped"),
        (_vmi("Running", deletionTimestamp="x"), "Bound", "Stopping"),
    ],
)
def test_printable_status(vmi: dict[str, Any] | None, claim_phase: str, word: str) -> None:
    """The word that people see follows from the instance and the claims."""
    assert printable_status(_vm(), vmi, {"c": {"status": {"phase": claim_phase}}}, _NOW) == word


def test_volume_snapshot_statuses_use_the_recorded_words() -> None:
    """Enabled, unknown claim, class without snapshots, and a source that is no claim."""
    volumes = [
        {"name": "root", "persistentVolumeClaim": {"claimName": "good"}},
        {"name": "data", "dataVolume": {"name": "plain"}},
        {"name": "lost", "persistentVolumeClaim": {"claimName": "lost"}},
        {"name": "cloudinit", "cloudInitNoCloud": {}},
    ]
    claims = {name: {"spec": {"storageClassName": name}} for name in ("good", "plain")}
    class_of = {"good": "snap", "plain": None}
    assert claim_names(volumes) == {"root": "good", "data": "plain", "lost": "lost"}
    assert volume_snapshot_statuses(volumes, claims, lambda claim: class_of[claim["spec"]["storageClassName"]]) == [
        {"name": "root", "enabled": True},
        {
            "name": "data",
            "enabled": False,
            "reason": "No VolumeSnapshotClass: Volume snapshots are not configured for this StorageClass "
            "[plain] [data]",
        },
        {"name": "lost", "enabled": False, "reason": "PVC not found"},
        {
            "name": "cloudinit",
            "enabled": False,
            "reason": "Snapshot is not supported for this volumeSource type [cloudinit]",
        },
    ]


@pytest.mark.parametrize(
    ("classes", "profile", "expected"),
    [
        ([("a", "drv", False)], None, "a"),
        ([("a", "other", False)], None, None),
        ([("a", "drv", False), ("b", "drv", True)], None, "b"),
        ([("a", "drv", False), ("b", "drv", False)], None, None),
        ([("a", "drv", False), ("b", "drv", True)], {"status": {"snapshotClass": "a"}}, "a"),
        ([("a", "drv", False)], {"spec": {}}, "a"),
    ],
)
def test_the_snapshot_class_is_that_of_the_profile_or_the_only_one_or_the_default(
    classes: list[tuple[str, str, bool]], profile: Object | None, expected: str | None
) -> None:
    """Among the classes of the claim's own driver, unless CDI's profile names one."""
    default = "snapshot.storage.kubernetes.io/is-default-class"
    objects = [
        {"metadata": {"name": name, "annotations": {default: str(marked).lower()}}, "driver": driver}
        for name, driver, marked in classes
    ]
    claim = {"spec": {"storageClassName": "fast"}}
    assert snapshot_class(claim, {"provisioner": "drv"}, objects, profile) == expected


_SOURCE = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": "vm"}


@pytest.mark.parametrize(
    ("spec", "old", "field", "message"),
    [
        ({"source": {**_SOURCE, "kind": "Pod"}}, None, "spec.source.kind", "invalid kind"),
        ({"source": {"kind": "VirtualMachine", "name": "vm"}}, None, "spec.source.apiGroup", "missing apiGroup"),
        ({"source": _SOURCE, "failureDeadline": "1m"}, {"source": _SOURCE}, "spec", "spec in immutable after creation"),
        (
            {"source": _SOURCE, "failureDeadline": "5 minutes"},
            {"source": _SOURCE},
            None,
            'time: unknown unit " minutes" in duration "5 minutes"',
        ),
    ],
)
def test_snapshots_that_are_refused(
    spec: dict[str, Any], old: dict[str, Any] | None, field: str | None, message: str
) -> None:
    """The words of transcripts/50."""
    refusal = check_snapshot({"spec": spec}, {"spec": old} if old else None)
    assert refusal
    assert (refusal.field, refusal.message) == (field, message)


def test_snapshots_that_are_admitted() -> None:
    """A plain one, and one whose annotations change."""
    assert check_snapshot({"spec": {"source": _SOURCE}}, None) is None
    assert check_snapshot({"spec": {"source": _SOURCE}}, {"spec": {"source": _SOURCE}}) is None


def test_the_run_state_stands_still_during_a_snapshot() -> None:
    """RunStrategy may not change, all else may; refused as an invalid field `spec`."""
    old = _vm("Always", snapshotInProgress="s1")
    refusal = check_machine(_vm("Halted"), old, {})
    assert refusal
    status = review_response("1", refusal)["response"]["status"]
    assert (status["reason"], status["code"]) == ("Invalid", 422)
    cause = status["details"]["causes"][0]
    assert (cause["field"], cause["message"]) == (
        "spec",
        'Cannot update vm running state until snapshot "s1" completes',
    )
    labelled = _vm("Always")
    labelled["metadata"]["labels"] = {"x": "y"}
    labelled["spec"]["template"]["spec"]["domain"]["memory"] = {"guest": "512Mi"}
    assert check_machine(labelled, old, {}) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"runStrategy": "Sometimes"}, "spec.runStrategy"),
        ({"running": True}, "spec.running"),
        ({"dataVolumeTemplates": [{}]}, "spec.dataVolumeTemplates"),
        ({"instancetype": {"name": "u1.small"}}, "spec.instancetype"),
    ],
)
def test_machines_that_are_refused(change: dict[str, Any], field: str) -> None:
    """What is wrong, what does not exist, and what the sandbox has not: nothing is accepted and then ignored."""
    vm = _vm()
    vm["spec"] |= change
    refusal = check_machine(vm, None, {field: None for field in ("instancetype", "preference") if field in change})
    assert refusal
    assert refusal.field == field


def _restore(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "r"}, "spec": {"target": _SOURCE, "virtualMachineSnapshotName": "s", **spec}}


@pytest.mark.parametrize(
    ("restore", "others", "message"),
    [
        (_restore(), [], None),
        (_restore(target={**_SOURCE, "kind": "Pod"}), [], "invalid kind"),
        (_restore(), [{**_restore(), "metadata": {"name": "rf"}}], 'VirtualMachineRestore "rf" in progress'),
        (_restore(), [{**_restore(), "status": {"complete": True}}], None),
        (_restore(patches=['{"op":"remove","path":"/status/x"}']), [], "patching is only allowed"),
        (_restore(patches=["no json"]), [], "is not a JSON patch operation"),
        (_restore(patches=['{"op":"remove","path":"/spec/x"}']), [], None),
        (_restore(volumeRestorePolicy="Sideways"), [], "invalid volumeRestorePolicy"),
    ],
)
def test_restores_are_admitted_or_refused(
    restore: dict[str, Any], others: list[dict[str, Any]], message: str | None
) -> None:
    """An unfinished restore of the same target blocks the next one, also a failed one."""
    refusal = check_restore(restore, None, others)
    assert (refusal is None) == (message is None)
    if refusal and message:
        assert message in refusal.message
