"""One look at everything that a decision about a VMBackup depends on; as few reads as its stage needs."""

from dataclasses import dataclass, replace

from safehold.api.capture import SnapshotHandle
from safehold.api.vmbackup import VMBackup
from safehold.kube.backup.changed_blocks import observe_changes
from safehold.kube.backup.claims import observe_clone, with_claim_labels, with_storage_classes
from safehold.kube.backup.fallback import observe_fallback, observe_own_capture
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.group.observer import observe_group, observe_group_capture
from safehold.kube.backup.hooks import HookRuns
from safehold.kube.backup.leftovers import observe_leftovers
from safehold.kube.backup.machines import kept_machine_bytes
from safehold.kube.backup.memory import observe_memory, with_memory
from safehold.kube.backup.pull.observer import observe_pull, observe_tracker
from safehold.kube.backup.snapshots import observe_snapshot, read_content, read_volume_snapshot
from safehold.kube.client import Cluster
from safehold.kube.fleet import Roster
from safehold.kube.job_facts import observe_job
from safehold.kube.kinds import NAMESPACE
from safehold.kube.target.resolution import read_secrets, resolve_target
from safehold.kube.virtualmachines import observe_machine
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.consistency import GUEST_AGENT
from safehold.plan.backup.ending import wants_forgetting
from safehold.plan.backup.exclusion import asks_claims, with_exclusions, without_volumes
from safehold.plan.backup.facts import BackupFacts, FallbackFacts, HoldFacts, MachineFacts
from safehold.plan.backup.group.facts import GroupFacts
from safehold.plan.backup.pull.choice import pulls, wants_pull
from safehold.plan.backup.stages import stage_of
from safehold.plan.names import job_name, machine_secret_name
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import TargetFacts
from safehold.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupObserver:
    """Reads the facts. `freezes` and `hooks` are what the capture began in this process."""

    cluster: Cluster
    namespaces: Roster
    """Of which a run that has begun asks whether its own is still there."""
    operator_namespace: str
    endpoint_rules: EndpointRules
    freezes: FreezeWatches
    hooks: HookRuns
    pull_enabled: bool = False
    """Whether KubeVirt's own backups may be read and made."""
    classes_limited: bool = False
    """Whether the storage classes of a VM's disks have to be known before its run begins."""
    groups_enabled: bool = True
    """Whether VolumeGroupSnapshots may be read and made."""

    async def observe(self, backup: VMBackup) -> BackupFacts:
        """The facts for `safehold.plan.backup.reconcile.next_step`."""
        stage = stage_of(backup)
        facts = await self._namespace(backup.metadata.namespace or "", fresh=stage == "Beginning")
        match stage:
            case "Finished":
                return await self._finished(backup, facts)
            case "Ending":
                return await self._ending(backup, facts)
            case "Beginning":
                facts = await self._with_target(backup, facts)
                machine = await self._machine(backup)
                if machine is not None and self.classes_limited:
                    machine = await with_storage_classes(self.cluster, machine, backup.metadata.namespace or "")
                return await self._with_pull(backup, replace(facts, machine=machine))
            case "Capturing":
                return await self._capturing(backup, facts)
            case "Preparing":
                return await self._preparing(backup, facts)

    async def _namespace(self, name: str, *, fresh: bool) -> BackupFacts:
        """What a run records of its namespace is read anew; later looks go by the watch, which knows no ending ones."""
        if not fresh and (known := await self.namespaces.member(name)):
            return BackupFacts(namespace_uid=known.uid, namespace_ending=False, target=_NOT_LOOKED_UP)
        holder = await self.cluster.get(NAMESPACE, name)
        return BackupFacts(
            namespace_uid=holder["metadata"]["uid"] if holder else "",
            namespace_ending=holder is None or "deletionTimestamp" in holder["metadata"],
            target=_NOT_LOOKED_UP,
        )

    async def _capturing(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        namespace, uid = backup.metadata.namespace or "", backup.metadata.uid
        group, machine = await self._group(backup), await self._machine(backup)
        snapshot = await self._snapshot(backup, group)
        gave_up = snapshot is not None and snapshot.failure is not None and backup.spec.consistency.falls_back
        size = await kept_machine_bytes(
            self.cluster, self.operator_namespace, machine_secret_name(backup.metadata.name, uid)
        )
        facts = replace(
            facts,
            machine=machine,
            snapshot=snapshot,
            fallback=await self._fallback(namespace, machine) if gave_up and machine else None,
            group=group,
            machine_captured=size is not None,
            machine_bytes=size or 0,
            hooks=self.hooks.facts(uid),
        )
        if snapshot is None:
            # It limits how many guests are frozen at once.
            facts = replace(facts, target=await self._target(backup))
        facts = await self._with_pull(backup, facts)
        pulled = facts.pull.backup if facts.pull else None
        ready = snapshot.ready if snapshot else pulled is not None and pulled.state == "Ready"
        if not ready:
            return facts
        # Of KubeVirt's own backup it is not known; a snapshot says it.
        froze = snapshot is None or GUEST_AGENT in snapshot.indications
        return replace(facts, freeze=await self.freezes.result(uid, froze=froze))

    async def _preparing(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        uid = backup.metadata.uid
        name = job_name("backup", backup.metadata.name, uid)
        job = await observe_job(self.cluster, self.operator_namespace, name, run_id=uid)
        if job is not None:
            moving = job.outcome or job.progress
            return replace(facts, job=job, holds=() if moving else await self._holds(backup))
        if pulls(backup):
            facts = await self._with_start(backup, replace(facts, machine=await self._machine(backup)))
            return await self._with_pull(backup, facts)
        group = await self._group(backup)
        snapshot = await self._snapshot(backup, group)
        holds = await self._holds(backup)
        facts = replace(
            facts,
            snapshot=await with_memory(self.cluster, snapshot, backup),
            group=group,
            memory=await observe_memory(self.cluster, backup),
            holds=holds,
        )
        return await self._with_start(backup, facts) if holds and all(hold.clone for hold in holds) else facts

    async def _with_start(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        """What is asked only when everything else is there, since the worker is started next."""
        changes = await observe_changes(self.cluster, backup, operator_namespace=self.operator_namespace)
        return replace(await self._with_target(backup, facts), changes=changes)

    async def _ending(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        self.freezes.forget(backup.metadata.uid)
        group = backup.status.fallback.group if backup.status.fallback else None
        leftovers = await observe_leftovers(
            self.cluster,
            backup.metadata.uid,
            operator_namespace=self.operator_namespace,
            namespace=backup.metadata.namespace,
            handles=backup.status.handles,
            pulls=self.pull_enabled and backup.status.pull is not None,
            groups=group is not None,
            group=group,
            claim_uids=[volume.claim_uid for volume in backup.status.volumes] if backup.status.restore_point else (),
            beside=any((backup.status.fallback, backup.status.memory_dump, backup.status.pull)),
        )
        if self.pull_enabled:
            facts = replace(facts, pull=await observe_tracker(self.cluster, backup))
        hooks = self.hooks.facts(backup.metadata.uid)
        return replace(facts, leftovers=leftovers, machine=await self._machine(backup), hooks=hooks)

    async def _finished(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        self.hooks.forget(backup.metadata.uid)
        if backup.metadata.deletion_timestamp is None or not wants_forgetting(backup) or facts.namespace_ending:
            return facts
        name = job_name("forget", backup.metadata.name, backup.metadata.uid)
        job = await observe_job(self.cluster, self.operator_namespace, name, run_id=backup.metadata.uid)
        return replace(await self._with_target(backup, facts), forget=job)

    async def _fallback(self, namespace: str, machine: MachineFacts) -> FallbackFacts:
        return await observe_fallback(self.cluster, namespace, machine, groups_enabled=self.groups_enabled)

    async def _group(self, backup: VMBackup) -> GroupFacts | None:
        group = backup.status.fallback.group if backup.status.fallback else None
        if group is None:
            return None
        return await observe_group(self.cluster, backup.metadata.namespace or "", backup.metadata.uid, group)

    async def _snapshot(self, backup: VMBackup, group: GroupFacts | None) -> SnapshotFacts | None:
        """What was cut: by KubeVirt, or by ourselves once that is recorded, each volume for itself or as a group."""
        fallback = backup.status.fallback
        if fallback is not None and fallback.by_group is not None and group is not None:
            return await observe_group_capture(self.cluster, backup, fallback, group)
        if fallback is not None:
            return await observe_own_capture(self.cluster, backup, fallback)
        name = backup.status.snapshot_name
        found = await observe_snapshot(self.cluster, backup.metadata.namespace or "", name) if name else None
        return found and without_volumes(found, {volume.name for volume in backup.status.excluded_volumes})

    async def _machine(self, backup: VMBackup) -> MachineFacts | None:
        namespace = backup.metadata.namespace or ""
        machine = await observe_machine(self.cluster, namespace, backup.spec.vm.name)
        if machine is None:
            return None
        if asks_claims(backup.spec.volumes) and backup.status.start_time is None:
            machine = await with_claim_labels(self.cluster, machine, namespace)
        return with_exclusions(backup, machine)

    async def _with_pull(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        if not wants_pull(backup.spec):
            return facts
        pull = await observe_pull(self.cluster, backup, facts.machine, enabled=self.pull_enabled)
        return replace(facts, pull=pull)

    async def _target(self, backup: VMBackup) -> TargetFacts | Refusal:
        return await resolve_target(
            self.cluster,
            backup.spec.target_ref,
            backup.metadata.namespace or "",
            operator_namespace=self.operator_namespace,
            rules=self.endpoint_rules,
        )

    async def _with_target(self, backup: VMBackup, facts: BackupFacts) -> BackupFacts:
        target = await self._target(backup)
        secrets = (await read_secrets(self.cluster, target)).refusal if isinstance(target, TargetFacts) else None
        return replace(facts, target=target, secrets=secrets)

    async def _holds(self, backup: VMBackup) -> tuple[HoldFacts, ...]:
        return tuple([await self._hold(handle) for handle in backup.status.handles])

    async def _hold(self, handle: SnapshotHandle) -> HoldFacts:
        return HoldFacts(
            volume=handle.volume,
            original=await read_content(self.cluster, handle.content),
            content=await read_content(self.cluster, handle.pair_name),
            snapshot=await read_volume_snapshot(self.cluster, handle.pair_name, self.operator_namespace),
            clone=await observe_clone(self.cluster, self.operator_namespace, handle.claim_name),
        )


_NOT_LOOKED_UP = Refusal(Reason.INTERNAL_ERROR, "the target was not looked up")
