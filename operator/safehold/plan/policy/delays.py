"""Which VMs of a policy are held back: after repeated failures, or because the cluster refused their VMBackup."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from safehold.api.timing import MAX_DELAYED, DelayedMachine
from safehold.plan.policy.breaker import delay_after
from safehold.plan.policy.facts import (
    AnyPolicy,
    NewBackup,
    PolicyBackup,
    PolicyFacts,
    called,
    final_attempts,
    is_of,
)

RETRY = timedelta(seconds=15)
"""After what time a VMBackup that the cluster refused is tried again."""


def delays(policy: AnyPolicy, facts: PolicyFacts) -> dict[str, DelayedMachine]:
    """By uid, until when VMs are held back, though it may be over: what their history says, else what was recorded."""
    recorded = {delayed.name: delayed for delayed in policy.status.delayed_machines}
    histories: dict[tuple[str, str], list[PolicyBackup]] = defaultdict(list)
    for backup in final_attempts(facts.backups):
        histories[backup.namespace, backup.vm].append(backup)
    found: dict[str, DelayedMachine] = {}
    for vm in facts.vms:
        name = called(policy, vm.namespace, vm.name)
        delayed = recorded.get(name)
        if vm.uid in facts.with_history:
            own = [backup for backup in histories[vm.namespace, vm.name] if is_of(backup, vm)]
            delay = delay_after(policy.spec.circuit_breaker, vm.uid, own)
            if delay is not None:
                delayed = DelayedMachine(name=name, failures=delay.failures, until=delay.until)
            elif delayed is not None and delayed.failures:
                delayed = None
        if delayed is not None:
            found[vm.uid] = delayed
    return found


def recorded_delays(found: Iterable[DelayedMachine], now: datetime) -> list[DelayedMachine]:
    """Those to record: that are not over, the next to end first."""
    kept = sorted(
        (delayed for delayed in found if delayed.until > now), key=lambda delayed: (delayed.until, delayed.name)
    )
    return kept[:MAX_DELAYED]


def refused(policy: AnyPolicy, backups: Iterable[NewBackup], now: datetime) -> list[DelayedMachine]:
    """The delays of VMs whose VMBackups the cluster refused."""
    return [
        DelayedMachine(name=called(policy, backup.namespace, backup.vm), failures=0, until=now + RETRY)
        for backup in backups
    ]
