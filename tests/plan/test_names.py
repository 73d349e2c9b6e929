"""Names and labels of what Safehold creates."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.plan import names

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
RUN_TIME = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)

OBJECT_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)
UIDS = st.uuids().map(str)

CHILD_NAMES: dict[str, Callable[[str, str], str]] = {
    "backup": lambda uid, vm: names.backup_name(uid, vm, RUN_TIME),
    "snapshot": lambda uid, backup: names.snapshot_name(backup, uid),
    "pair": names.pair_name,
    "source claim": names.source_claim_name,
    "backup job": lambda uid, owner: names.job_name("backup", owner, uid),
    "restore job": lambda uid, owner: names.job_name("restore", owner, uid),
    "target job": lambda uid, owner: names.job_name("target", owner, uid, "2"),
    "prime claim": names.prime_claim_name,
    "restored claim": lambda uid, volume: names.restored_claim_name("web", volume, uid),
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("backup", "payroll-db-e8d5e1618f-20261122t140000"),
        ("snapshot", "safehold-payroll-db-d490a6c49d"),
        ("pair", "safehold-payroll-db-81733102f0"),
    ],
)
def test_stable(kind: str, name: str) -> None:
    """Names never change between releases: a run that was begun by an older one is found again."""
    assert CHILD_NAMES[kind]("0b7c6a1e-5f0e-4a55-9d0c-0e8f5a1d2c3b", "payroll-db") == name


@pytest.mark.parametrize("kind", CHILD_NAMES)
@given(uid=UIDS, readable=OBJECT_NAMES)
def test_valid_everywhere(kind: str, uid: str, readable: str) -> None:
    """A name fits where a DNS label of 63 characters is needed, whatever the owner is called."""
    name = CHILD_NAMES[kind](uid, readable)
    assert len(name) <= 63
    assert DNS_LABEL.fullmatch(name)


@given(uid=UIDS, first=OBJECT_NAMES, second=OBJECT_NAMES)
def test_no_two_alike(uid: str, first: str, second: str) -> None:
    """Children of one owner have different names, unless they are the same child."""
    made = {(kind, readable): name(uid, readable) for kind, name in CHILD_NAMES.items() for readable in {first, second}}
    by_uid_alone = {"snapshot", "backup job", "restore job", "target job"}
    alike = [
        (one, other)
        for one, one_name in made.items()
        for other, other_name in made.items()
        if one < other and one_name == other_name and not (one[0] == other[0] and one[0] in by_uid_alone)
    ]
    assert alike == []


@pytest.mark.parametrize("kind", CHILD_NAMES)
def test_owner_counts(kind: str) -> None:
    """Two owners of one name, such as an object that was deleted and created again, have different children."""
    assert CHILD_NAMES[kind]("uid-1", "web") != CHILD_NAMES[kind]("uid-2", "web")


def test_long_names_differ() -> None:
    """Names that are equal as far as they are shown still differ in their digest."""
    one, other = "vm-" + "x" * 200 + "1", "vm-" + "x" * 200 + "2"
    assert names.backup_name("uid", one, RUN_TIME) != names.backup_name("uid", other, RUN_TIME)
    assert names.label_value(one) != names.label_value(other)


def test_run_time_is_utc() -> None:
    """One run has one name, in whatever zone its time is written."""
    elsewhere = RUN_TIME.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert names.backup_name("uid", "web", elsewhere) == names.backup_name("uid", "web", RUN_TIME)
    assert names.backup_name("uid", "web", RUN_TIME + timedelta(minutes=1)) != names.backup_name("uid", "web", RUN_TIME)


@given(st.text(max_size=300))
def test_label_values(text: str) -> None:
    """Any text becomes a valid label value; a valid one stays as it is."""
    value = names.label_value(text)
    assert len(value) <= 63
    assert LABEL_VALUE.fullmatch(value)
    assert names.label_value(value) == value


def test_owner_labels() -> None:
    """A child's labels lead back to its owner and are found by the selector for the owner's children."""
    labels = names.owner_labels("VMBackup", "uid-1", name="nightly", namespace="payments", vm="web")
    assert labels == {
        "app.kubernetes.io/managed-by": "safehold",
        "safehold.dev/owner-kind": "VMBackup",
        "safehold.dev/owner-uid": "uid-1",
        "safehold.dev/owner-name": "nightly",
        "safehold.dev/owner-namespace": "payments",
        "safehold.dev/vm": "web",
    }
    wanted = dict(term.split("=") for term in names.children_of("uid-1").split(","))
    assert wanted.items() <= labels.items()
