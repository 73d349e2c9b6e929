"""A run's turn: what it shares with other runs, which limits there are, and what is said while it waits."""

from collections.abc import Mapping
from datetime import UTC, datetime

from safehold.api.references import TargetRef
from safehold.api.vmbackup import VMBackup
from safehold.plan.backup.facts import BackupFacts
from safehold.plan.backup.run import BackupRules, Decision, Run
from safehold.plan.backup.stages import stage_of
from safehold.plan.fair_queue import Claim
from safehold.plan.names import POLICY_UID
from safehold.plan.policy.facts import policy_of
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason

_NEVER = datetime.max.replace(tzinfo=UTC)
_UNSEEN = Refusal(Reason.WAITING, "nothing was looked up yet")


def claim_of(backup: VMBackup, facts: BackupFacts | None = None) -> Claim:
    """What the run shares with others, as far as its spec, its status and the facts tell."""
    status, machine = backup.status, facts.machine if facts else None
    node = status.node_name or (machine.node if machine else "")
    classes = {volume.storage_class_name for volume in status.volumes} | set(machine.storage_classes if machine else ())
    pools = [_target(backup), *([_node(node)] if node else ()), *(_storage_class(name) for name in classes if name)]
    return Claim(
        namespace=backup.metadata.namespace or "",
        since=backup.metadata.creation_timestamp or _NEVER,
        pools=frozenset(pools),
        vm=backup.spec.vm.name,
        policy=policy_of(backup) or "",
        begun=status.start_time,
    )


def limits_of(backup: VMBackup, facts: BackupFacts, rules: BackupRules) -> Mapping[str, int | None]:
    """The limit of each pool that the facts tell of."""
    machine, found = facts.machine, {}
    if isinstance(facts.target, TargetFacts):
        found[_target(backup)] = facts.target.max_active_runs
    if machine is not None and machine.node:
        found[_node(machine.node)] = rules.max_active_runs_per_node
    for name in machine.storage_classes if machine else ():
        found[_storage_class(name)] = rules.max_active_runs_by_storage_class.get(name)
    return found


def waits_unseen(backup: VMBackup) -> bool:
    """Whether nothing of the run has to be looked at until its turn comes.

    What a policy creates comes in thousands. What a person creates is looked at at once: its mistakes are told.
    """
    made_by_policy = POLICY_UID in backup.metadata.labels
    return made_by_policy and stage_of(backup) == "Beginning" and backup.metadata.deletion_timestamp is None


def wait_for_turn(run: Run) -> Decision:
    """Say that the run waits; it is called when its turn comes."""
    message = "waits for an active backup to end: the limit is reached"
    return run.goes_on("Pending", message, reason=Reason.WAITING, again=None, not_ready_since=None)


def wait_unseen(backup: VMBackup, rules: BackupRules, now: datetime) -> Decision:
    """The same for a run of which nothing was looked up."""
    facts = BackupFacts(namespace_uid="", namespace_ending=False, target=_UNSEEN)
    return wait_for_turn(Run(backup=backup, facts=facts, rules=rules, now=now))


def target_pool(ref: TargetRef, namespace: str) -> str:
    """What runs to one target share. `namespace` is the VM's."""
    return f"target {ref.kind}/{namespace if ref.kind == 'BackupTarget' else ''}/{ref.name}"


def _target(backup: VMBackup) -> str:
    return target_pool(backup.spec.target_ref, backup.metadata.namespace or "")


def _node(name: str) -> str:
    return f"node {name}"


def _storage_class(name: str) -> str:
    return f"storage class {name}"
