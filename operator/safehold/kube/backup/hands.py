"""Carries out what the plan of a backup decided. Every step may find that it was done before."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from safehold.errors import SafeholdError
from safehold.kube.backup.changed_blocks import keep_base
from safehold.kube.backup.fallback import take_volume_snapshots
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.group.hands import carry_out_group_step
from safehold.kube.backup.holds import hold_content
from safehold.kube.backup.hooks import HookRuns
from safehold.kube.backup.machines import keep_machine, kept_machine
from safehold.kube.backup.memory import carry_out_memory_step
from safehold.kube.backup.pairs import create_clone, create_pair, rebind_pair
from safehold.kube.backup.pull.hands import commit_checkpoint, read_token, start_pull
from safehold.kube.backup.removal import take_away
from safehold.kube.client import Cluster, Manifest
from safehold.kube.jobs import MountedVolume, WorkerJob, WorkerPod, adopt_secret, start_job
from safehold.kube.kinds import (
    VM,
    VM_BACKUP,
    VM_SNAPSHOT,
)
from safehold.kube.target.resolution import read_secrets
from safehold.kube.virtualmachines import thaw
from safehold.plan.backup.group.steps import (
    CutGroup,
    HoldGroup,
    RemoveGroup,
    RemoveGroupContent,
    SetGroupPolicy,
    UnmarkClaim,
)
from safehold.plan.backup.memory_facts import (
    CreateDumpClaim,
    RemoveMemoryDump,
    RequestMemoryDump,
    SnapshotDumpClaim,
)
from safehold.plan.backup.pull.steps import CommitCheckpoint, StartPull
from safehold.plan.backup.steps import (
    AdoptSecret,
    CaptureMachine,
    CreateClone,
    CreatePair,
    Delete,
    GiveUpVolume,
    HoldContent,
    KeepBase,
    LabelBackup,
    RebindPair,
    SetPolicy,
    StartBackup,
    StartForget,
    StartHook,
    Step,
    TakeSnapshot,
    TakeVolumeSnapshots,
    Thaw,
)
from safehold.plan.names import OWNER_UID
from safehold.plan.target.use import TargetFacts
from safehold.run import PULL_TOKEN_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupHands:
    """Writes to the cluster what a backup's plan decided, and nothing else."""

    cluster: Cluster
    pod: WorkerPod
    freezes: FreezeWatches
    hooks: HookRuns

    async def carry_out(self, step: Step) -> None:
        """Do one step; an error says that it must be decided anew."""
        match step:
            case CaptureMachine() | TakeSnapshot() | TakeVolumeSnapshots() | Thaw() | LabelBackup():
                await self._capture(step)
            case HoldContent() | CreatePair() | RebindPair() | CreateClone() | KeepBase():
                await self._prepare(step)
            case StartBackup() | StartForget() | AdoptSecret():
                await self._work(step)
            case StartPull():
                await start_pull(self.cluster, self.freezes, step)
            case CommitCheckpoint():
                await commit_checkpoint(self.cluster, step)
            case StartHook():
                self.hooks.start(step)
            case Delete() | SetPolicy() | GiveUpVolume() | RemoveMemoryDump():
                await take_away(self.cluster, step, operator_namespace=self.pod.namespace)
            case CutGroup() | UnmarkClaim() | HoldGroup() | SetGroupPolicy() | RemoveGroup() | RemoveGroupContent():
                await carry_out_group_step(self.cluster, step)
            case CreateDumpClaim() | RequestMemoryDump() | SnapshotDumpClaim():
                await carry_out_memory_step(self.cluster, step)
            case _:
                assert_never(step)

    async def _capture(self, step: CaptureMachine | TakeSnapshot | TakeVolumeSnapshots | Thaw | LabelBackup) -> None:
        match step:
            case LabelBackup():
                patch = {"metadata": {"labels": dict(step.labels)}}
                await self.cluster.merge_patch(VM_BACKUP, step.name, step.namespace, patch)
            case CaptureMachine():
                await keep_machine(
                    self.cluster,
                    namespace=step.namespace,
                    vm=step.vm,
                    secret=step.secret,
                    labels=dict(step.labels),
                    operator_namespace=self.pod.namespace,
                )
            case TakeSnapshot():
                await self.freezes.start(
                    step.labels[OWNER_UID],
                    step.namespace,
                    step.vm,
                    seconds=step.deadline_seconds + 10,
                    snapshot=step.name,
                )
                await self.cluster.create_if_absent(VM_SNAPSHOT, _vm_snapshot(step))
            case TakeVolumeSnapshots():
                await take_volume_snapshots(self.cluster, step)
            case Thaw():
                await thaw(self.cluster, step.namespace, step.vm)

    async def _prepare(self, step: HoldContent | CreatePair | RebindPair | CreateClone | KeepBase) -> None:
        match step:
            case HoldContent():
                await hold_content(self.cluster, step)
            case CreatePair():
                await create_pair(self.cluster, step, namespace=self.pod.namespace)
            case RebindPair():
                await rebind_pair(self.cluster, step)
            case CreateClone():
                await create_clone(self.cluster, step, namespace=self.pod.namespace)
            case KeepBase():
                await keep_base(self.cluster, step)

    async def _work(self, step: StartBackup | StartForget | AdoptSecret) -> None:
        match step:
            case StartBackup():
                machine = await kept_machine(self.cluster, self.pod.namespace, step.machine_secret)
                job = WorkerJob(
                    name=step.job,
                    verb="backup",
                    labels=step.labels,
                    run=step.run.model_copy(update={"machine": machine}),
                    files={**await self._files(step.target), **await self._pull_token(step)},
                    volumes=tuple(_mounted(step)),
                    node_affinity=dict(step.node_affinity) if step.node_affinity else None,
                    audiences=step.audiences,
                    queue=step.target.queue_name,
                )
                await start_job(self.cluster, self.pod, job)
            case StartForget():
                files = await self._files(step.target)
                job = WorkerJob(name=step.job, verb="forget", labels=step.labels, run=step.run, files=files)
                await start_job(self.cluster, self.pod, job)
            case AdoptSecret():
                await adopt_secret(self.cluster, self.pod.namespace, step.job, step.job_uid)

    async def _pull_token(self, step: StartBackup) -> dict[str, bytes]:
        if step.pull_token is None:
            return {}
        return {PULL_TOKEN_FILE: await read_token(self.cluster, step.pull_token.namespace, step.pull_token.secret)}

    async def _files(self, target: TargetFacts) -> dict[str, bytes]:
        secrets = await read_secrets(self.cluster, target)
        if secrets.refusal:
            raise SafeholdError(secrets.refusal.message, reason=secrets.refusal.reason)
        return dict(secrets.files)


def _mounted(step: StartBackup) -> Iterator[MountedVolume]:
    for volume in step.run.volumes:
        if claim := step.claims.get(volume.name):
            yield MountedVolume(name=volume.name, claim=claim, mode=volume.mode, read_only=True)


def _vm_snapshot(step: TakeSnapshot) -> Manifest:
    return {
        "metadata": {"name": step.name, "namespace": step.namespace, "labels": dict(step.labels)},
        "spec": {
            "source": {"apiGroup": VM.group, "kind": VM.kind, "name": step.vm},
            "failureDeadline": f"{step.deadline_seconds}s",
        },
    }
