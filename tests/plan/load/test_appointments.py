"""When each VM's run has to be finished, by its policy's schedule and hours."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.plan.policy.test_decision import VMS, policy

from safehold.plan.load.appointments import PolicyAppointments, appointments_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DB = ("shop", "db")


def appointed(now: datetime = NOON, **spec: Any) -> PolicyAppointments:
    """The appointments of a policy of the shop."""
    found = appointments_of(policy(**spec), VMS, {}, now)
    assert found is not None
    return found


def test_a_run_is_due_when_the_next_one_comes() -> None:
    """Until then the VM would be left out of it."""
    found = appointed(schedule="0 22 * * *")
    last, following = found.last[DB], found.next[DB]
    assert (last.moment, last.due) == (NOON - timedelta(hours=14), NOON + timedelta(hours=10))
    assert (following.moment, following.due) == (last.due, last.due + timedelta(days=1))
    assert last.closes is None
    assert found.pools == {"shop": "target ClusterBackupTarget//primary"}


def test_the_hours_for_a_run_close() -> None:
    """A window's end is by when it has to have begun; a spread moves moment and due time alike."""
    found = appointed(schedule="0 22 * * *", spread="2h", windows=[{"from": "22:00", "to": "04:00"}])
    following = found.next[DB]
    assert NOON + timedelta(hours=10) <= following.moment < NOON + timedelta(hours=12)
    assert following.closes == NOON + timedelta(hours=16)
    assert following.due == following.moment + timedelta(days=1)


def test_of_several_tiers_the_first_due_time_counts() -> None:
    """Any point is as good as another: the weekly run is due when the next hourly one comes."""
    tiers = [{"name": "weekly", "schedule": "0 12 * * MON"}, {"name": "hourly", "schedule": "0 * * * *"}]
    found = appointed(schedule=None, schedules=tiers)
    assert (found.last[DB].moment, found.last[DB].due) == (NOON, NOON + timedelta(hours=1))


def test_a_policy_that_starts_nothing_appoints_nothing() -> None:
    """Suspended, or with a schedule that no day fits."""
    assert appointments_of(policy(suspend=True), VMS, {}, NOON) is None
    assert appointments_of(policy(schedule="0 0 31 2 *"), VMS, {}, NOON) is None


def test_a_young_vm_has_no_last_run() -> None:
    """What was before its creation was no appointment of its own."""
    young = tuple(vm.__class__(namespace=vm.namespace, name=vm.name, uid=vm.uid, created=NOON) for vm in VMS)
    found = appointments_of(policy(schedule="0 22 * * *"), young, {}, NOON)
    assert found is not None
    assert found.last == {}
    assert found.next.keys() == {DB, ("shop", "web")}


@given(
    st.sampled_from(["@hourly", "30 2 * * *", "0 */6 * * *", "@weekly"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.booleans(),
    st.integers(0, 400 * 1440),
)
def test_appointments_are_in_order(schedule: str, zone: str, closed: bool, minute: int) -> None:
    """Whatever the moment, hours and changes of the clock: last ≤ now < next ≤ due of the last, and due after it."""
    now = NOON + timedelta(minutes=minute)
    hours = {"windows": [{"from": "22:00", "to": "06:00"}]} if closed else {}
    found = appointed(now, schedule=schedule, timeZone=zone, spread="20m", **hours)
    for vm, following in found.next.items():
        assert now < following.moment < following.due
        assert following.closes is None or following.moment < following.closes
        if (last := found.last.get(vm)) is not None:
            assert last.moment <= now
            assert last.due == following.moment
