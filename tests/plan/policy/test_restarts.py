"""A policy whose controller dies between its writes: what it creates is what an undisturbed one would have created."""

from datetime import datetime, timedelta
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.plan.policy.test_decision import CREATED, VMS, facts, policy

from safehold.api.policy import BackupPolicyStatus
from safehold.plan.policy.decision import next_run
from safehold.plan.policy.facts import RUN, NewBackup, PolicyBackup

DAYS = timedelta(days=1)


class Cluster:
    """The policy's VMBackups by name, with the time of each, and the status that was applied last."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.status: BackupPolicyStatus | None = None
        self.backups: dict[str, tuple[NewBackup, datetime]] = {}

    def look(self, now: datetime, *, deadly: bool) -> timedelta:
        """One look: VMBackups first, then the status; a deadly one ends somewhere between them."""
        known = [_observed(backup, created) for backup, created in self.backups.values()]
        decision = next_run(policy(self.status, spread="20m"), facts(*known), now)
        survives = self.chance.randrange(len(decision.create) + 1) if deadly else None
        for backup in decision.create[:survives]:
            assert backup.name not in self.backups, "what is there is not created again"
            self.backups[backup.name] = (backup, now)
        if not deadly:
            self.status = decision.status
        assert decision.again is not None
        return max(decision.again, timedelta(seconds=1))

    def runs(self) -> list[tuple[str, str]]:
        """VM and run of each VMBackup."""
        return sorted((backup.vm, backup.labels[RUN]) for backup, _ in self.backups.values())


def _observed(backup: NewBackup, created: datetime) -> PolicyBackup:
    return PolicyBackup(
        namespace=backup.namespace,
        vm=backup.vm,
        run=backup.labels[RUN],
        finished=True,
        succeeded=True,
        ended=created + timedelta(minutes=2),
    )


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=True))
def test_a_death_loses_nothing_and_doubles_nothing(chance: Random) -> None:
    """Killed at one look in four, after some of the creations, it makes one backup of each VM in each run."""
    cluster, now = Cluster(chance), CREATED
    while now < CREATED + DAYS:
        deadly = chance.random() < 0.25
        pause = cluster.look(now, deadly=deadly)
        now += timedelta(seconds=5) if deadly else pause
    runs = cluster.runs()
    hours = int(DAYS / timedelta(hours=1))
    assert len(runs) == len(set(runs))
    for vm in VMS:
        # Of the first and the last hour a part is within the days, depending on the VM's moment.
        assert hours - 1 <= sum(name == vm.name for name, _ in runs) <= hours + 1
