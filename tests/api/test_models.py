"""How the models read and spell what the API server hands over."""

from typing import Any

import pytest
from pydantic import ValidationError

from gen_crds import definition
from safehold.api import BackupPolicy, Condition, VMBackup, VMRestore
from safehold.api.base import API_VERSION, camel_case
from safehold.api.kinds import KINDS, KindDefinition
from sandbox.apiserver.schema import CompiledSchema

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)

BACKUP = {
    "apiVersion": API_VERSION,
    "kind": "VMBackup",
    "metadata": {"name": "nightly", "namespace": "payments", "uid": "1", "generation": 1},
    "spec": {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "offsite"}},
}


def schema_of(kind: KindDefinition) -> dict[str, Any]:
    """The schema that the API server uses."""
    schema: dict[str, Any] = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@EVERY_KIND
def test_same_defaults(kind: KindDefinition) -> None:
    """A model that is built from the least that is needed has the defaults that the server fills in."""
    target = {"kind": "ClusterBackupTarget", "name": "s3-primary"}
    least: dict[str, dict[str, Any]] = {
        "BackupTarget": {
            "s3": {"bucket": "abc"},
            "credentialsSecretRef": {"name": "c"},
            "encryption": {"keySecretRef": {"name": "k"}},
        },
        "ClusterBackupTarget": {"s3": {"bucket": "abc"}, "encryption": {"keySecretRef": {"name": "k"}}},
        "BackupPolicy": {"schedule": "0 3 * * *", "targetRef": target},
        "ClusterBackupPolicy": {"schedule": "0 3 * * *", "targetRef": target, "namespaceSelector": {}},
        "VMBackup": {"vm": {"name": "db"}, "targetRef": target},
        "VMRestore": {"source": {"vm": "db"}, "target": {"mode": "InPlace"}},
    }
    given_object = {"apiVersion": API_VERSION, "kind": kind.kind, "spec": least[kind.kind]}
    filled = CompiledSchema(schema_of(kind)).default(given_object)
    assert kind.model.model_validate(given_object).to_wire()["spec"] == filled["spec"]


def test_fields_of_a_newer_version_are_ignored() -> None:
    """An object that a newer release wrote can still be read."""
    newer = BACKUP | {"spec": {**BACKUP["spec"], "colour": "red"}, "status": {"phase": "Done", "tier": "cold"}}  # type: ignore[dict-item]
    read = VMBackup.model_validate(newer)
    assert read.status.phase == "Done"
    assert "colour" not in read.to_wire()["spec"]


def test_absent_status_is_empty() -> None:
    """An object that nobody looked at yet has an empty status, so planners need no special case."""
    status = VMBackup.model_validate(BACKUP).status
    assert status.observed_generation is None
    assert (status.conditions, status.hooks, status.volumes, status.handles) == ([], [], [], [])
    assert status.to_wire() == {"conditions": [], "hooks": [], "volumes": [], "excludedVolumes": [], "handles": []}


@pytest.mark.parametrize(
    ("field", "spelled"),
    [
        ("vm", "vm"),
        ("vm_uid", "vmUID"),
        ("protected_machines", "protectedMachines"),
        ("repository_id", "repositoryID"),
        ("ca_bundle_secret_ref", "caBundleSecretRef"),
        ("last_schedule_time", "lastScheduleTime"),
    ],
)
def test_spelling(field: str, spelled: str) -> None:
    """Fields are spelled as Kubernetes spells them, initialisms included."""
    assert camel_case(field) == spelled


def test_models_do_not_change() -> None:
    """A model is a value: a changed copy is another one."""
    backup = VMBackup.model_validate(BACKUP)
    with pytest.raises(ValidationError, match="frozen"):
        backup.spec = backup.spec  # type: ignore[misc]
    changed = backup.status.model_copy(update={"phase": "Running"})
    assert (backup.status.phase, changed.phase) == (None, "Running")


def test_times_need_a_zone() -> None:
    """A time without a zone is refused instead of being read in the server's."""
    restore = {"spec": {"source": {"vm": "db", "before": "2026-11-21T09:15:00"}, "target": {"mode": "InPlace"}}}
    with pytest.raises(ValidationError, match="timezone"):
        VMRestore.model_validate(restore)


def test_long_message_is_cut() -> None:
    """A message that quotes too much is cut where it would be refused, and shows that it is."""
    condition = Condition.model_validate(
        {
            "type": "Ready",
            "status": "False",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-22T14:00:00Z",
            "reason": "StoreError",
            "message": "x" * 5000,
        }
    )
    assert (len(condition.message), condition.message[-2:]) == (1024, "x…")


def test_policy_keeps_selector_apart() -> None:
    """An absent selector and an empty one both mean all VMs, and each is written back as it was."""
    spec = {"schedule": "0 3 * * *", "targetRef": {"kind": "BackupTarget", "name": "offsite"}}
    assert "selector" not in BackupPolicy.model_validate({"spec": spec}).to_wire()["spec"]
    assert BackupPolicy.model_validate({"spec": spec | {"selector": {}}}).to_wire()["spec"]["selector"] == {}
