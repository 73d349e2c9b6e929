"""Which point a restore gets, whether its namespace may have it, and what stops it before anything is changed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.plan.restore.objects import CLUSTER, GIB, NOW, OPERATOR, SHAPE, SHOP, TARGET, backup, restore

from safehold.api import VMBackup, VMRestore
from safehold.plan.refusal import Refusal
from safehold.plan.restore.admission import Admission, admit
from safehold.plan.restore.facts import ObservedRestore, VMFacts
from safehold.plan.restore.point.description import point_of
from safehold.plan.restore.point.source import Inquiry, SourceFacts, choose
from safehold.plan.storage import Claim, ClaimRef
from safehold.plan.tenancy import ALLOW_RESTORE_TO, RESTORE_FROM, NamespaceFacts
from safehold.reasons import Reason


def namespace(name: str, uid: str | None = None, **annotations: str) -> NamespaceFacts:
    """A Namespace; underscores in names of annotations are not used, so they are passed as given."""
    return NamespaceFacts(name=name, uid=uid or f"{name}-uid", labels={}, annotations=annotations)


def facts(*backups: VMBackup, **changes: Any) -> SourceFacts:
    """The own namespace shop with these VMBackups, and VM orders alive."""
    given = {"own": namespace(SHOP), "source": namespace(SHOP), "vm_uid": "vm-uid", "cluster_id": CLUSTER, **changes}
    return SourceFacts(backups=backups, **given)


def by_time(**source: Any) -> VMRestore:
    """A VMRestore that names a VM instead of a VMBackup."""
    return restore(source={"vm": "orders", **source})


def at(name: str, hours_ago: float, **status: Any) -> VMBackup:
    """A finished VMBackup that was captured so long ago."""
    return backup(name, captureTime=NOW - timedelta(hours=hours_ago), **status)


def chosen(wanted: VMRestore, given: SourceFacts) -> str:
    """Name of the chosen VMBackup, or the reason why there is none."""
    found = choose(wanted, given)
    assert not isinstance(found, Inquiry)
    return found.reason.value if isinstance(found, Refusal) else found.metadata.name


FAILED = backup("failed", conditions=[], restorePoint=None, failure={"reason": "JobFailed", "message": "no space"})


@pytest.mark.parametrize(
    ("wanted", "given", "expected"),
    [
        (restore(), facts(backup("orders-1"), backup("orders-2")), "orders-1"),
        (restore(), facts(backup("orders-2")), "PointNotFound"),
        (restore(source={"backup": "failed"}), facts(FAILED), "PointNotFound"),
        (by_time(), facts(at("old", 5), at("new", 1), FAILED), "new"),
        (by_time(before=NOW - timedelta(hours=2)), facts(at("old", 5), at("new", 1)), "old"),
        (by_time(before=NOW - timedelta(hours=5)), facts(at("old", 5), at("new", 1)), "old"),
        (by_time(before=NOW - timedelta(hours=6)), facts(at("old", 5), at("new", 1)), "PointNotFound"),
        (by_time(), facts(), "PointNotFound"),
        (by_time(), facts(at("mine", 5), at("earlier", 1, vmUID="gone")), "mine"),
        (by_time(), facts(at("earlier", 1, vmUID="gone")), "PointNotFound"),
        (by_time(), facts(at("first", 9, vmUID="a"), at("last", 1, vmUID="b"), vm_uid=None), "last"),
        (
            by_time(before=NOW - timedelta(hours=2)),
            facts(at("first", 3, vmUID="a"), at("then", 4, vmUID="b"), at("last", 1, vmUID="b"), vm_uid=None),
            "then",
        ),
    ],
)
def test_choosing_a_point(wanted: VMRestore, given: SourceFacts, expected: str) -> None:
    """By name, or the latest of that VM (by uid) that is not after `before`; of a gone VM, the last of its name."""
    assert chosen(wanted, given) == expected


BANK = {"own": namespace("bank"), "source": namespace(SHOP), "vm_uid": None}
OPEN = {
    **BANK,
    "source": NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={ALLOW_RESTORE_TO: "x, bank"}),
}
REBORN = {**BANK, "source": namespace(SHOP, "another-uid")}
GIVEN = NamespaceFacts(name="bank", uid="bank-uid", labels={}, annotations={RESTORE_FROM: f"{CLUSTER}/{SHOP}"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (BANK, "RestoreNotAllowed"),
        (OPEN, "orders-1"),
        ({**OPEN, "own": namespace("bank2")}, "RestoreNotAllowed"),
        (REBORN, "RestoreNotAllowed"),
        ({**REBORN, "own": GIVEN}, "orders-1"),
        ({**BANK, "source": None, "own": GIVEN}, "orders-1"),
        ({**OPEN, "cluster_id": "another-cluster"}, "RestoreNotAllowed"),
    ],
)
def test_reading_the_points_of_another_namespace(given: dict[str, Any], expected: str) -> None:
    """The living source namespace must allow it; for one that is gone or was born again, the target must say so."""
    wanted = restore("NewVM", source={"backup": "orders-1", "namespace": SHOP})
    assert chosen(wanted, facts(backup("orders-1"), **given)) == expected


def test_who_may_not_read_does_not_learn_what_exists() -> None:
    """Without consent the answer is the same for a VMBackup that exists and for one that does not."""
    wanted = restore("NewVM", source={"backup": "orders-1", "namespace": SHOP})
    assert choose(wanted, facts(backup("orders-1"), **BANK)) == choose(wanted, facts(**BANK))


def test_a_namespace_with_an_old_name_has_none_of_the_old_points() -> None:
    """A VMBackup whose namespace had another uid is not this namespace's, even under the same name."""
    assert chosen(restore(), facts(backup("orders-1", namespaceUID="older"))) == "RestoreNotAllowed"


VM = VMFacts(
    uid="vm-uid",
    run_strategy="Manual",
    is_active=True,
    is_running=True,
    claims={"root": "orders-root", "data": "orders-data"},
)
CLAIM = Claim(ref=ClaimRef(SHOP, "orders-root", "u"), shape=SHAPE, phase="Bound", volume="pv")
LIVE = {"orders-root": CLAIM, "orders-data": replace(CLAIM, ref=ClaimRef(SHOP, "orders-data", "v"))}


def seen(**changes: Any) -> ObservedRestore:
    """A cluster in which a restore in place can begin."""
    given: dict[str, Any] = {"vm": VM, "live_claims": LIVE, "target": TARGET, **changes}
    return ObservedRestore(
        cluster_id=CLUSTER,
        operator_namespace=OPERATOR,
        namespace=namespace(SHOP),
        storage_classes=given.pop("storage_classes", frozenset({"fast"})),
        **given,
    )


TENANTS = replace(TARGET, kind="BackupTarget")
ASKED = restore(serviceAccountName="restorer")


@pytest.mark.parametrize(
    ("wanted", "observed", "reason", "words"),
    [
        (restore(), seen(vm=None), Reason.VM_NOT_FOUND, "use mode NewVM"),
        (restore(), seen(vm=replace(VM, uid="reborn")), Reason.POINT_NOT_YOURS, "found reborn"),
        (restore(), seen(vm=replace(VM, claims={"root": "orders-root"})), Reason.VOLUME_MISMATCH, "volume data"),
        (
            restore(),
            seen(live_claims={"orders-root": replace(CLAIM, shape=replace(SHAPE, mode="Filesystem"))}),
            Reason.VOLUME_MISMATCH,
            "Filesystem now",
        ),
        (
            restore(),
            seen(live_claims={"orders-root": replace(CLAIM, volume=None, phase="Pending")}),
            Reason.VOLUME_MISMATCH,
            "not bound",
        ),
        (
            restore(),
            seen(live_claims={"orders-root": replace(CLAIM, shape=replace(SHAPE, size_bytes=GIB))}),
            Reason.VOLUME_MISMATCH,
            "grow the claim",
        ),
        (restore(), seen(storage_classes=frozenset()), Reason.VOLUME_MISMATCH, "StorageClass fast"),
        (restore("NewVM"), seen(), Reason.VM_EXISTS, "orders-copy exists"),
        (restore(), seen(target=TENANTS), Reason.INVALID_SPEC, "spec.serviceAccountName"),
        (ASKED, seen(target=TENANTS, has_service_account=False), Reason.INVALID_SPEC, "does not exist"),
        (restore(), seen(target=replace(TARGET, repository_id="repo-2")), Reason.REPOSITORY_CHANGED, "repo-2"),
        (restore(), seen(target=Refusal(Reason.TARGET_NOT_FOUND, "gone")), Reason.TARGET_NOT_FOUND, "gone"),
    ],
)
def test_refusals(wanted: VMRestore, observed: ObservedRestore, reason: Reason, words: str) -> None:
    """Each reason to stop before anything is changed, with a sentence that says what to do."""
    refusal = admit(wanted, point_of(backup()), observed)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert words in refusal.message


def test_in_place_the_record_has_what_is_needed_to_go_back() -> None:
    """How the VM was run is recorded before it is stopped; volumes are as large as the point and the claim need."""
    larger = replace(CLAIM, shape=replace(SHAPE, size_bytes=3 * GIB, storage_class="slow"))
    observed = seen(live_claims={**LIVE, "orders-root": larger}, storage_classes=frozenset({"fast", "slow"}))
    admission = admit(restore(), point_of(backup()), observed)
    assert isinstance(admission, Admission)
    assert admission.vm is not None
    assert (admission.vm.name, admission.vm.original_run_strategy, admission.vm.was_running) == (
        "orders",
        "Manual",
        True,
    )
    root, data = admission.volumes
    assert (root.capacity_bytes, root.storage_class_name, root.claim_name) == (3 * GIB, "slow", "orders-root")
    assert (data.capacity_bytes, data.storage_class_name, data.claim_name) == (2 * GIB, "fast", "orders-data")


def test_a_claim_that_was_deleted_comes_back_as_it_was_backed_up() -> None:
    """In place, the VM's definition decides about names; a missing claim gets the class and size of the point."""
    admission = admit(restore(), point_of(backup()), seen(live_claims={}))
    assert isinstance(admission, Admission)
    assert [volume.claim_name for volume in admission.volumes] == ["orders-root", "orders-data"]


def test_a_new_vm_never_takes_the_originals_claims() -> None:
    """A new VM's claims have names of their own, which no other restore uses."""
    admission = admit(restore("NewVM"), point_of(backup()), seen(vm=None))
    assert isinstance(admission, Admission)
    names = [volume.claim_name for volume in admission.volumes]
    assert len(set(names)) == 2
    assert not set(names) & {"orders-root", "orders-data"}
