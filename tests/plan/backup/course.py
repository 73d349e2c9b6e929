"""One run, led through its phases."""

from datetime import timedelta

import pytest
from tests.plan.backup.objects import RULES, START
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.plan.backup.facts import BackupFacts
from safehold.plan.backup.reconcile import next_step
from safehold.plan.backup.run import Decision


def decide(backup: VMBackup, facts: BackupFacts, later: timedelta = timedelta()) -> Decision:
    """One decision."""
    return next_step(backup, facts, RULES, START + later)


def with_status(backup: VMBackup, decision: Decision) -> VMBackup:
    """The backup once the decision's status was applied."""
    return backup.model_copy(update={"status": decision.status})


def advance(world: World, phase: str) -> None:
    """Until the run has come into this phase."""
    for _ in range(40):
        if world.backup.status.phase == phase:
            return
        decision = next_step(world.backup, world.facts(), RULES, world.now)
        world.backup = with_status(world.backup, decision)
        for step in decision.steps:
            world.carry_out(step)
        if decision.again:
            world.look()
    pytest.fail(f"a backup never comes into phase {phase}")
