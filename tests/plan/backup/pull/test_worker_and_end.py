"""From served disks to the worker, and from the complete point to the tracker."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.plan.backup.objects import START
from tests.plan.backup.pull.objects import READY, TRACKER, after, begun, claim, decide, facts, name_of, served

from safehold.api import VMBackup
from safehold.plan.backup.changes_facts import ChangesFacts, Verification
from safehold.plan.backup.cleanup import cleanup
from safehold.plan.backup.facts import Leftovers
from safehold.plan.backup.memory_facts import TenantObject
from safehold.plan.backup.pull.facts import PullFacts
from safehold.plan.backup.pull.steps import CommitCheckpoint
from safehold.plan.backup.steps import Delete, StartBackup
from safehold.plan.names import pull_name
from safehold.reasons import Reason
from safehold.run import PULL_TOKEN_FILE, KubeVirtChanges


def accepted(*engines: str) -> tuple[VMBackup, PullFacts]:
    """A run whose capture was accepted, and what is there of it."""
    backup = begun(*engines)
    pull = replace(READY, backup=served(name_of(backup)))
    return after(backup, decide(backup, facts(pull))), pull


@pytest.mark.parametrize(("engines", "may_scan"), [(("KubeVirt", "Scan"), True), (("KubeVirt", "CSI"), False)])
def test_disk_is_scanned_through_the_backup_only_where_scans_are_allowed(
    engines: tuple[str, ...], may_scan: bool
) -> None:
    """A map that cannot be believed fails the run of a policy that names no Scan."""
    backup, pull = accepted(*engines)
    (start,) = decide(backup, facts(pull)).steps
    assert isinstance(start, StartBackup)
    assert {volume.may_scan for volume in start.run.volumes} == {may_scan}


@pytest.mark.parametrize(("days", "due"), [(6, False), (7, True)])
def test_whole_disk_is_read_too_when_a_verification_is_due(days: int, due: bool) -> None:
    """Through the same backup; and the term goes on from what earlier runs found."""
    backup, pull = accepted()
    known = Verification(verified=START - timedelta(days=days), distrusted=False)
    decision = decide(backup, facts(pull, changes=ChangesFacts(verifications={"claim-data": known})))
    (start,) = decision.steps
    assert isinstance(start, StartBackup)
    assert {volume.name: volume.verify for volume in start.run.volumes} == {"data": due, "logs": False}
    assert decision.status.volumes[0].verified_time == known.verified


def test_worker_pulls_and_mounts_nothing() -> None:
    """It gets URLs, CA, checkpoint and base in its run, the token by the name of its Secret only, and no node."""
    backup, pull = accepted()
    selector: dict[str, object] = {"nodeSelectorTerms": [{"matchExpressions": []}]}
    elsewhere = replace(pull, claims={name: claim(name, node_affinity=selector) for name in pull.claims})
    (start,) = decide(backup, facts(elsewhere)).steps
    assert isinstance(start, StartBackup)
    assert (start.claims, start.node_affinity) == ({}, None)
    assert start.pull_token is not None
    assert (start.pull_token.namespace, start.pull_token.secret) == ("shop", name_of(backup))
    assert start.run.capture.snapshot_uid == "pull-uid"
    for volume in start.run.volumes:
        assert (volume.path, volume.checkpoint) == (None, served(name_of(backup)).checkpoint)
        assert volume.changes == KubeVirtChanges(
            map_url=f"https://{volume.name}/map",
            data_url=f"https://{volume.name}/data",
            ca="PEM",
            token_file=PULL_TOKEN_FILE,
            base="earlier-checkpoint",
        )


@pytest.mark.parametrize(
    "changes", [{"state": "Failed", "message": "SourceLost"}, {"deleting": True}, {"uid": "other"}]
)
def test_backup_that_ends_before_the_worker_fails_the_run(changes: dict[str, object]) -> None:
    """There is no second point in time to fall back on: the consistency was told already."""
    backup, pull = accepted()
    assert pull.backup is not None
    ended = replace(pull, backup=replace(pull.backup, **changes))  # type: ignore[arg-type]  # the table's values differ
    failure = decide(backup, facts(ended)).status.failure
    assert failure is not None
    assert failure.reason == Reason.SNAPSHOT_FAILED


def test_complete_point_is_told_to_the_tracker_before_the_backup_goes() -> None:
    """Recorded once, on that very tracker; a failed run records nothing, so that the next one is full."""
    backup, pull = accepted()
    leftovers = Leftovers(pull_backups=(TenantObject(namespace="shop", name=name_of(backup), uid="pull-uid"),))
    done = backup.model_copy(update={"status": backup.status.model_copy(update={"restore_point": "point-1"})})
    assert decide(done, facts(pull, leftovers=leftovers)).steps == (
        CommitCheckpoint(
            namespace="shop",
            tracker="tracker",
            tracker_uid="tracker-uid",
            checkpoint=served(name_of(backup)).checkpoint,
            instance_uid="instance",
        ),
    )
    told = replace(pull, tracker=replace(TRACKER, committed=served(name_of(backup)).checkpoint))
    for observed in (told, replace(pull, tracker=None)):
        (delete,) = decide(done, facts(observed, leftovers=leftovers)).steps
        assert delete == Delete(kind="VirtualMachineBackup", name=name_of(backup), namespace="shop", uid="pull-uid")
    failed = after(backup, decide(backup, facts(replace(pull, backup=None))))
    assert failed.status.failure is not None
    steps = decide(failed, facts(pull, leftovers=leftovers), later=timedelta(seconds=1)).steps
    assert not any(isinstance(step, CommitCheckpoint) for step in steps)


def test_scratch_claim_goes_after_the_backup_that_uses_it() -> None:
    """KubeVirt holds it until its backup is gone; the token goes with it."""
    scratch = TenantObject(namespace="shop", name="pull", uid="scratch-uid")
    backup = TenantObject(namespace="shop", name="pull", uid="pull-uid")
    (first,) = cleanup(Leftovers(pull_backups=(backup,), tenant_claims=(scratch,)))
    assert isinstance(first, Delete)
    assert first.kind == "VirtualMachineBackup"
    (then,) = cleanup(Leftovers(tenant_claims=(scratch,)))
    assert then == Delete(kind="Claim", name="pull", namespace="shop", uid="scratch-uid")


def test_names_leave_room_for_what_kubevirt_adds() -> None:
    """`-backup-target-pvc` follows in a pod's volume name, which may have 63 characters."""
    name = pull_name("b" * 253, "backup-uid")
    assert len(f"{name}-backup-target-pvc") <= 63
    assert name != pull_name("b" * 253, "another-uid")
