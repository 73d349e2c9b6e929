"""Carries out what the plan of a restore decided. Every step may find that it was done before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from safehold.envelope import new_key
from safehold.errors import ConflictError, NotFoundError, SafeholdError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.jobs import MountedVolume, WorkerJob, WorkerPod, adopt_secret, delete_job, start_job
from safehold.kube.kinds import CLAIM, SECRET, VM, VM_RESTORE, VM_SUBRESOURCES, VOLUME
from safehold.kube.restore.replaced import saved_objects_manifest
from safehold.kube.restore.restorable import RESTORABLE
from safehold.kube.restore.snapshots import carry_out_snapshot_step
from safehold.kube.restore.storage import claim_manifest
from safehold.kube.target.resolution import read_secrets
from safehold.plan.names import KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY
from safehold.plan.restore.steps import (
    AdoptSecret,
    AssignVolume,
    CreateClaim,
    CreateObject,
    DeleteClaim,
    DeleteJob,
    DeleteObject,
    DeleteRestore,
    DeleteSafetySnapshot,
    Finished,
    KeepVolume,
    MakePair,
    OwnClaim,
    OwnObject,
    PokeClaim,
    Record,
    RemovePair,
    SaveObjects,
    SetReclaimPolicy,
    SetRunStrategy,
    StartInquiry,
    StartRestoreJob,
    StartVM,
    Step,
    TakeSafetySnapshot,
    Wait,
)
from safehold.plan.restore.volumes.handover import POKED
from safehold.plan.storage import ClaimRef
from safehold.plan.target.use import TargetFacts
from safehold.run import ENVELOPE_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreHands:
    """Writes to the cluster what a restore's plan decided, and nothing else.

    `tenant` has the rights that the restore has in its own namespace, `namespace`; `operator` the operator's.
    """

    operator: Cluster
    tenant: Cluster
    namespace: str
    pod: WorkerPod

    async def carry_out(self, step: Step) -> None:
        """Do one step; an error says that it must be decided anew."""
        match step:
            case KeepVolume() | SetReclaimPolicy() | AssignVolume():
                await self._change_volume(step)
            case CreateClaim() | DeleteClaim() | PokeClaim():
                await self._change_claim(step)
            case TakeSafetySnapshot() | DeleteSafetySnapshot() | MakePair() | RemovePair():
                await carry_out_snapshot_step(
                    self.operator, step, namespace=self.namespace, operator_namespace=self.pod.namespace
                )
            case StartRestoreJob() | StartInquiry() | AdoptSecret() | DeleteJob():
                await self._work(step)
            case CreateObject() | OwnObject() | OwnClaim() | SaveObjects() | DeleteObject():
                await self._change_object(step)
            case SetRunStrategy() | StartVM():
                await self._power(step)
            case DeleteRestore(name, uid):
                await self.operator.delete(VM_RESTORE, name, self.namespace, uid=uid)
            case Record() | Wait() | Finished():
                return
            case _:
                assert_never(step)

    async def _change_volume(self, step: KeepVolume | SetReclaimPolicy | AssignVolume) -> None:
        match step:
            case KeepVolume():
                await self._set_policy(step.volume, step.uid, "Retain", step.labels, step.annotations)
            case SetReclaimPolicy(drop_label=None):
                await self._set_policy(step.volume, step.uid, step.policy, {}, {})
            case SetReclaimPolicy(drop_label=label):
                marks = dict.fromkeys((KEPT_UNTIL, ORIGINAL_RECLAIM_POLICY))
                await self._set_policy(step.volume, step.uid, step.policy, {str(label): None}, marks)
            case AssignVolume():
                await self._assign(step)

    async def _set_policy(
        self,
        volume: str,
        uid: str,
        policy: str,
        labels: Mapping[str, str | None],
        annotations: Mapping[str, str | None],
    ) -> None:
        marks = {"labels": dict(labels), "annotations": dict(annotations)}
        patch = {
            "metadata": {"uid": uid, **{name: values for name, values in marks.items() if values}},
            "spec": {"persistentVolumeReclaimPolicy": policy},
        }
        await self.operator.merge_patch(VOLUME, volume, None, patch)

    async def _assign(self, step: AssignVolume) -> None:
        """The claimRef is replaced as a whole: a uid beside an old resourceVersion would not be followed."""
        holder = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        holder |= {"namespace": step.claim.namespace, "name": step.claim.name, "uid": step.claim.uid}
        operations: list[Manifest] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": step.resource_version},
            {"op": "add", "path": "/spec/claimRef", "value": holder},
        ]
        await self.operator.json_patch(VOLUME, step.volume, None, operations)

    async def _change_claim(self, step: CreateClaim | DeleteClaim | PokeClaim) -> None:
        match step:
            case CreateClaim(claim):
                await self._in(claim.namespace).create_if_absent(CLAIM, claim_manifest(claim))
            case DeleteClaim(claim):
                await self._in(claim.namespace).delete(CLAIM, claim.name, claim.namespace, uid=claim.uid)
            case PokeClaim(claim, value):
                await self._poke(claim, value)

    async def _poke(self, claim: ClaimRef, value: str) -> None:
        patch = {"metadata": {"uid": claim.uid, "annotations": {POKED: value}}}
        await self._in(claim.namespace).merge_patch(CLAIM, claim.name, claim.namespace, patch)

    async def _work(self, step: StartRestoreJob | StartInquiry | AdoptSecret | DeleteJob) -> None:
        match step:
            case StartRestoreJob():
                await self._start(step)
            case StartInquiry():
                files = await self._files(step.target)
                job = WorkerJob(name=step.name, verb="describe", labels=step.labels, run=step.run, files=files)
                await start_job(self.operator, self.pod, job)
            case AdoptSecret():
                await adopt_secret(self.operator, self.pod.namespace, step.job, step.job_uid)
            case DeleteJob():
                await delete_job(self.operator, self.pod.namespace, step.name)

    async def _start(self, step: StartRestoreJob) -> None:
        volumes = tuple(
            MountedVolume(name=volume.name, claim=step.claims[volume.name], mode=volume.mode, read_only=False)
            for volume in step.run.volumes
        )
        job = WorkerJob(
            name=step.name,
            verb="restore",
            labels=step.labels,
            run=step.run,
            files=await self._files(step.target),
            volumes=volumes,
            node_affinity=dict(step.node_affinity) if step.node_affinity else None,
        )
        await start_job(self.operator, self.pod, job)

    async def _files(self, target: TargetFacts) -> dict[str, bytes]:
        """What lies beside a run: what the target's Secrets hold, and the key of an envelope."""
        secrets = await read_secrets(self.operator, target)
        if secrets.refusal:
            raise SafeholdError(secrets.refusal.message, reason=secrets.refusal.reason)
        return {**secrets.files, ENVELOPE_FILE: new_key()}

    async def _change_object(self, step: CreateObject | OwnObject | OwnClaim | SaveObjects | DeleteObject) -> None:
        match step:
            case CreateObject(manifest):
                await self.tenant.create_if_absent(RESTORABLE[manifest["kind"]], dict(manifest))
            case OwnObject():
                patch = {"metadata": {"ownerReferences": [_vm_reference(step.vm, step.vm_uid)]}}
                await self.tenant.merge_patch(RESTORABLE[step.kind], step.name, self.namespace, patch)
            case OwnClaim(claim):
                owners = [_vm_reference(step.vm, step.vm_uid)]
                metadata: Manifest = {"uid": claim.uid, "ownerReferences": owners}
                await self.tenant.merge_patch(CLAIM, claim.name, self.namespace, {"metadata": metadata})
            case SaveObjects():
                await self.tenant.create_if_absent(SECRET, saved_objects_manifest(step, self.namespace))
            case DeleteObject():
                await self.tenant.delete(RESTORABLE[step.kind], step.name, self.namespace, uid=step.uid)

    async def _power(self, step: SetRunStrategy | StartVM) -> None:
        if isinstance(step, StartVM):
            try:
                await self.tenant.put(VM_SUBRESOURCES, step.vm, self.namespace, subresource="start")
            except ConflictError:  # it runs already
                return
            return
        vm = await self.operator.get(VM, step.vm, self.namespace)
        if vm is None or vm["metadata"]["uid"] != step.uid:
            raise NotFoundError(f"VirtualMachine {self.namespace}/{step.vm} was deleted meanwhile")
        field, value = (
            ("running", step.strategy != "Halted") if "running" in vm["spec"] else ("runStrategy", step.strategy)
        )
        patch = {"metadata": {"uid": step.uid}, "spec": {field: value}}
        await self.tenant.merge_patch(VM, step.vm, self.namespace, patch)

    def _in(self, namespace: str) -> Cluster:
        return self.tenant if namespace == self.namespace else self.operator


def _vm_reference(name: str, uid: str) -> Manifest:
    return {"apiVersion": VM.api_version, "kind": VM.kind, "name": name, "uid": uid}
