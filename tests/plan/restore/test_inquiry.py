"""Restores of points that no VMBackup tells of: a worker asks the bucket, and the manifest's owner decides."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from tests.plan.restore.disturbance import run_killed, survivals
from tests.plan.restore.objects import CLUSTER, NOW, POINT, SHOP, TARGET, machine_objects, point, restore
from tests.plan.restore.world import World

from safehold.api import TargetRef, VMRestore
from safehold.plan.conditions import is_true
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.restore.facts import Answer
from safehold.plan.restore.point.inquiry import read_answer
from safehold.plan.tenancy import ALLOW_RESTORE_TO, NamespaceFacts
from safehold.reasons import Reason

SOURCE = {"point": POINT, "target": {"kind": "ClusterBackupTarget", "name": "primary"}}
PATCHED: dict[str, Any] = {
    "serviceAccountName": "restorer",
    "patches": [
        {
            "target": {"kind": "VirtualMachine"},
            "patch": '[{"op": "add", "path": "/spec/template/spec/hostname", "value": "copy"}]',
        }
    ],
}
OWN = NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={})


def asking(wanted: VMRestore | None = None, **vm: str) -> World:
    """A cluster that knows of no VMBackup, and a bucket that holds the point; `vm` changes whose it is."""
    world = World(wanted or restore("NewVM", source=SOURCE), backups=[])
    world.recalled = machine_objects()
    for manifest in world.recalled:
        manifest["metadata"]["namespace"] = vm.get("namespace", SHOP)
    world.answer = Answer(point=point(**vm), objects=world.recalled)
    world.owner_namespace = OWN
    return world


def test_a_point_without_a_vmbackup_is_restored() -> None:
    """The record is made of what the bucket said, the worker is asked for that point, and both Jobs go."""
    world = asking()
    decision = world.start_worker()
    assert isinstance(decision.step, steps.StartRestoreJob)
    assert decision.step.run.restore_point == POINT
    assert decision.step.run.key_domain == "namespace/shop-uid"
    assert decision.step.run.owner.vm_uid == "vm-uid"
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready")
    assert ended.status.backup is None
    assert not world.leftovers()


@settings(max_examples=60)
@given(survives=survivals(40))
def test_it_converges_wherever_it_is_killed(survives: list[bool]) -> None:
    """Killed after any status or write, also while the bucket is asked, the restore ends restored, once."""
    world = asking(restore("NewVM", source=SOURCE, **PATCHED))
    run_killed(world, survives)
    world.run()
    assert is_true(world.restore.status.conditions, "Ready")
    assert not world.leftovers()


def test_the_bucket_is_asked_for_the_latest_that_the_catalogue_trimmed() -> None:
    """A VM in a namespace and a time are asked for by uid; of a VM that is gone, by name."""
    before = NOW - timedelta(days=400)
    source = {"vm": "orders", "before": before, "verified": "Require", "target": SOURCE["target"]}
    for vm_uid in ("vm-uid", None):
        world = World.with_running_vm(restore(source=source))
        world.backups = []
        if vm_uid is None:
            world.vm = None
        step = world.decide().step
        assert isinstance(step, steps.StartInquiry)
        asked = step.run.vm
        assert asked is not None
        assert (asked.cluster, asked.namespace_uid, asked.uid, asked.name) == (CLUSTER, "shop-uid", vm_uid, "orders")
        assert (asked.before, asked.verified) == (before, "Require")
        assert step.run.key_domain == "namespace/shop-uid"


@pytest.mark.parametrize(
    ("vm", "namespace", "expected"),
    [
        ({}, OWN, None),
        ({"namespace_uid": "earlier"}, OWN, "restore-from"),
        ({"cluster_id": "elsewhere"}, OWN, "belongs to another cluster"),
        ({"namespace": "bank", "namespace_uid": "bank-uid"}, None, "no longer exists"),
        (
            {"namespace": "bank", "namespace_uid": "bank-uid"},
            NamespaceFacts(name="bank", uid="bank-uid", labels={}, annotations={}),
            "does not allow restores into shop",
        ),
        (
            {"namespace": "bank", "namespace_uid": "bank-uid"},
            NamespaceFacts(name="bank", uid="bank-uid", labels={}, annotations={ALLOW_RESTORE_TO: "shop"}),
            None,
        ),
    ],
)
def test_the_owner_in_the_manifest_decides(
    vm: dict[str, str], namespace: NamespaceFacts | None, expected: str | None
) -> None:
    """Cluster and namespace of a point go by uid: a namespace that only has the name owns nothing."""
    world = asking(None, **vm)
    world.owner_namespace = namespace
    ended = world.run()
    if expected is None:
        assert is_true(ended.status.conditions, "Ready")
        return
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "RestoreNotAllowed"
    assert expected in ended.status.failure.message
    assert ended.status.point is None
    assert not world.leftovers()


def test_another_point_than_the_one_asked_for_is_refused() -> None:
    """A worker's answer is believed only for what it was asked."""
    world = asking()
    assert isinstance(world.answer, Answer)
    other = world.answer.point.model_copy(update={"id": POINT.replace("7", "8")})
    world.answer = replace(world.answer, point=other)
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "ReportRejected"


def test_what_the_worker_says_is_the_failure() -> None:
    """A point that is gone, a wrong key, a bucket that does not answer: the worker's reason and sentence."""
    world = asking()
    world.save(world.decide().status)
    world.carry_out(world.decide().step)
    assert world.inquiry is not None
    message = (
        f'{{"run_id": "restore-uid", "verb": "describe", "succeeded": false, "reason": "PointNotFound", '
        f'"message": "The restore point {POINT} is not in the repository"}}'
    )
    world.inquiry = replace(world.inquiry, outcome="Failed", termination_message=message)
    ended = world.run()
    assert ended.status.failure is not None
    assert (ended.status.failure.reason, POINT in ended.status.failure.message) == ("PointNotFound", True)
    assert not world.leftovers()


@pytest.mark.parametrize(
    ("refusal", "waits"),
    [
        (Refusal(Reason.TARGET_NOT_READY, "not checked yet"), True),
        (Refusal(Reason.TARGET_NOT_ALLOWED, "does not serve namespace shop"), False),
        (Refusal(Reason.TARGET_NOT_FOUND, "does not exist"), False),
    ],
)
def test_only_a_target_that_serves_the_namespace_is_asked(refusal: Refusal, waits: bool) -> None:
    """No worker starts for another target; one that is not ready is waited for, until its time is over."""
    world = asking()
    world.target = refusal
    decision = world.decide()
    assert isinstance(decision.step, steps.Wait) is waits
    assert (decision.status.failure is None) is waits
    world.now = NOW + timedelta(minutes=11)
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == refusal.reason.value
    assert world.inquiry is None


def test_a_worker_that_does_not_start_is_given_up() -> None:
    """An image that cannot be pulled ends the restore in time, and names it."""
    world = asking()
    world.save(world.decide().status)
    world.carry_out(world.decide().step)
    assert world.inquiry is not None
    world.inquiry = replace(world.inquiry, outcome=None, waiting_for="image x cannot be pulled")
    assert isinstance(world.decide().step, steps.Wait)
    world.now = NOW + timedelta(minutes=46)
    failure = world.decide().status.failure
    assert failure is not None
    assert (failure.reason, "image x" in failure.message) == ("TimedOut", True)


def test_a_patched_vm_is_judged_by_its_manifest_before_anything_is_created() -> None:
    """With patches the bucket is asked although a VMBackup tells of the point; a patch that fails ends the restore."""
    world = World(restore("NewVM", **PATCHED))
    world.answer = Answer(point=point().model_copy(update={"id": "point-of-orders-1"}), objects=machine_objects())
    ended = world.run()
    assert is_true(ended.status.conditions, "Ready")
    assert not world.leftovers()
    wrong: dict[str, Any] = {
        **PATCHED,
        "patches": [{**PATCHED["patches"][0], "patch": '[{"op": "remove", "path": "/x"}]'}],
    }
    world = World(restore("NewVM", **wrong))
    world.answer = Answer(point=point().model_copy(update={"id": "point-of-orders-1"}), objects=machine_objects())
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "PatchRefused"
    assert not ended.status.volumes
    assert not world.claims


def test_a_vmbackup_does_not_lend_its_point_to_another_vm() -> None:
    """Where both are read, the manifest must be of the VM that the VMBackup names."""
    world = World(restore("NewVM", **PATCHED))
    told = point(uid="another").model_copy(update={"id": "point-of-orders-1"})
    world.answer = Answer(point=told, objects=machine_objects())
    ended = world.run()
    assert ended.status.failure is not None
    assert ended.status.failure.reason == "PointNotYours"


DESCRIPTION: dict[str, Any] = {
    "point": POINT,
    "repository_id": "repo-1",
    "key_domain": "target",
    "captured": NOW.isoformat(),
    "consistency": "Crash",
    "verified": True,
    "owner": {"cluster": CLUSTER, "namespace_uid": "u", "vm_uid": "v", "namespace": SHOP, "vm": "orders"},
    "volumes": [
        {"name": "root", "role": "Disk", "mode": "Block", "disk_bytes": 1, "capacity_bytes": 2, "access_modes": []}
    ],
}


@pytest.mark.parametrize(
    ("said", "is_read"),
    [
        (DESCRIPTION, True),
        ({**DESCRIPTION, "owner": {**DESCRIPTION["owner"], "namespace": ""}}, False),
        ({**DESCRIPTION, "owner": {**DESCRIPTION["owner"], "namespace": "shop/secrets/x"}}, False),
        ({**DESCRIPTION, "owner": {**DESCRIPTION["owner"], "vm": "My VM"}}, False),
        ({**DESCRIPTION, "volumes": "none"}, False),
    ],
)
def test_an_answer_is_read_only_if_it_is_of_a_vm(said: dict[str, Any], is_read: bool) -> None:
    """What cannot be a VM of a cluster is refused; so are names that would lead elsewhere in the API."""
    reference = TargetRef(kind="ClusterBackupTarget", name=TARGET.name)
    answer = read_answer([said, *machine_objects()], reference, SHOP)
    assert isinstance(answer, Answer) is is_read
    if isinstance(answer, Answer):
        assert len(answer.objects) == len(machine_objects())
        assert answer.point.volumes[0].capacity_bytes == 2
    else:
        assert answer.reason is Reason.POINT_NOT_YOURS


def test_a_deleted_restore_takes_its_inquiry_along() -> None:
    """Deleted while the bucket is asked, a restore leaves no Job, nor a Secret that a cut start left without one."""
    world = asking()
    world.save(world.decide().status)
    world.carry_out(world.decide().step)
    metadata = world.restore.metadata.model_copy(update={"deletion_timestamp": NOW})
    world.restore = world.restore.model_copy(update={"metadata": metadata})
    world.run()
    assert not world.leftovers()
