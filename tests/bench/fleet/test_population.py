"""The fleet that is measured: as large as the bench says, and made of objects that a real cluster would hold."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.fleet.catalogue import finished_backups, policies
from bench.fleet.population import machine_of, populate
from bench.fleet.shape import Shape
from safehold.api.vmbackup import VMBackup
from safehold.plan.conditions import is_finished
from safehold.plan.policy.facts import policy_of

CREATED = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def test_a_vm_is_at_least_ten_kibibytes_of_json() -> None:
    """With the fields of two managers, as after Argo CD and KubeVirt."""
    machine = machine_of("tenant-000", "vm-00000", "group-0", CREATED)
    assert len(json.dumps(machine, separators=(",", ":"))) >= 10 * 1024
    assert len(machine["metadata"]["managedFields"]) == 2


def test_every_policy_has_its_share_of_the_vms() -> None:
    """5,000 VMs in 50 namespaces under 100 policies: 50 for each."""
    shape = Shape()
    groups = Counter((namespace, group) for namespace, _, group in shape.machines())
    assert set(groups) == set(shape.policy_places())
    assert set(groups.values()) == {50}


def test_the_journal_holds_vms_claims_and_volumes(tmp_path: Path) -> None:
    """Each VM has one disk, whose claim is bound to a volume that names it back, and finished VMBackups."""
    assert populate(tmp_path, Shape(vms=4, namespaces=2, policies=2, catalogue=3), CREATED) >= 10 * 1024
    documents = [json.loads(line)["document"] for line in (tmp_path / "objects.jsonl").read_text().splitlines()]
    kinds = Counter(document["kind"] for document in documents)
    machines = {"VirtualMachine": 4, "PersistentVolumeClaim": 4, "PersistentVolume": 4}
    assert kinds == {"Namespace": 2, **machines, "BackupPolicy": 2, "VMBackup": 12}
    uids = {document["metadata"]["uid"] for document in documents if document["kind"] == "PersistentVolumeClaim"}
    assert {doc["spec"]["claimRef"]["uid"] for doc in documents if doc["kind"] == "PersistentVolume"} == uids


def test_the_catalogue_is_what_policies_made() -> None:
    """The controller takes every VMBackup for a run of its VM's policy that is over; the newest is of yesterday."""
    shape = Shape(vms=4, namespaces=2, policies=2, catalogue=3)
    owners = {policy["metadata"]["uid"] for policy in policies(shape, CREATED)}
    backups = [VMBackup.model_validate(found) for found in finished_backups(shape, CREATED)]
    assert {policy_of(backup) for backup in backups} == owners
    assert all(backup.status.restore_point and is_finished(backup.status.conditions) for backup in backups)
    assert max(found["metadata"]["creationTimestamp"] for found in finished_backups(shape, CREATED)) == (
        "2026-11-21T00:00:00Z"
    )
