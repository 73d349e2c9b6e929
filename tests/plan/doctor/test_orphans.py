"""Which of our objects are orphans."""

from datetime import UTC, datetime, timedelta

import pytest

from safehold.plan.doctor.orphans import Child, Owner, find_orphans

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def child(owner_kind: str = "VMBackup", **changes: object) -> Child:
    """A Job of an hour ago."""
    facts: dict[str, object] = {
        "kind": "Job",
        "namespace": "safehold",
        "name": "job",
        "created": NOW - timedelta(hours=1),
        "owner_kind": owner_kind,
        "owner_uid": "uid",
        "owner_namespace": "shop",
        "owner_name": "db-1",
    }
    return Child(**{**facts, **changes})  # type: ignore[arg-type]  # a table of fields


@pytest.mark.parametrize(
    ("owner_kind", "owners", "why"),
    [
        ("VMBackup", [], "VMBackup shop/db-1 does not exist any more"),
        ("VMBackup", [Owner(uid="another")], "VMBackup shop/db-1 does not exist any more"),
        ("VMBackup", [Owner(uid="uid")], None),
        ("VMBackup", [Owner(uid="uid", ended=NOW)], "the run of VMBackup shop/db-1 ended at 2026-11-22T14:00:00Z"),
        ("VMRestore", [Owner(uid="uid", ended=NOW)], "the run of VMRestore shop/db-1 ended at 2026-11-22T14:00:00Z"),
        ("BackupTarget", [Owner(uid="uid", ended=NOW)], None),
        ("BackupTarget", [], "BackupTarget shop/db-1 does not exist any more"),
    ],
)
def test_an_object_is_an_orphan_when_its_owner_is_gone_or_its_run_over(
    owner_kind: str, owners: list[Owner], why: str | None
) -> None:
    """Owners count by their uid: another object of the same name is none. A target is no run that ends."""
    assert [orphan.why for orphan in find_orphans([child(owner_kind)], owners, NOW)] == ([why] if why else [])


def test_an_orphan_is_told_with_its_age_and_what_removing_it_means() -> None:
    """Sorted run by run, so that what belongs together stands together."""
    found = find_orphans(
        [child(name="b", owner_name="db-2"), child(name="a"), child(kind="Secret", owner_name="db-2")], [], NOW
    )
    assert [(orphan.made_by, orphan.kind) for orphan in found] == [
        ("VMBackup shop/db-1", "Job"),
        ("VMBackup shop/db-2", "Job"),
        ("VMBackup shop/db-2", "Secret"),
    ]
    assert found[0].age == timedelta(hours=1)
    assert "pod is stopped" in found[0].consequence
