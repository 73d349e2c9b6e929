"""The fleet that is measured: as large as the bench says, and made of objects that a real cluster would hold."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from bench.fleet.population import machine_of, populate
from bench.fleet.shape import Shape

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
    """Each VM has one disk, whose claim is bound to a volume that names it back."""
    assert populate(tmp_path, Shape(vms=4, namespaces=2, policies=2), CREATED) >= 10 * 1024
    documents = [json.loads(line)["document"] for line in (tmp_path / "objects.jsonl").read_text().splitlines()]
    kinds = Counter(document["kind"] for document in documents)
    assert kinds == {"Namespace": 2, "VirtualMachine": 4, "PersistentVolumeClaim": 4, "PersistentVolume": 4}
    uids = {document["metadata"]["uid"] for document in documents if document["kind"] == "PersistentVolumeClaim"}
    assert {doc["spec"]["claimRef"]["uid"] for doc in documents if doc["kind"] == "PersistentVolume"} == uids
