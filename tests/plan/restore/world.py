"""A cluster in miniature around one VMRestore: what the volume controller, KubeVirt and a worker do, and how they hurt.

It plays what was recorded of the real controllers: a volume under Delete dies with its claim, one without claimRef is
taken by whoever asks, a claim that is held by a pod stays, and binding follows uids.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Self

from tests.plan.restore.objects import (
    CLUSTER,
    DRIVER,
    GIB,
    NOW,
    OPERATOR,
    SHAPE,
    SHOP,
    TARGET,
    backup,
    captured_volumes,
    machine_objects,
    restore,
    safety_snapshot,
    snapshot_handle,
)

from safehold.api import VMBackup, VMRestore
from safehold.api.vmrestore import OwnerRecord, VMRestoreStatus
from safehold.plan.backup.facts import CaptureFacts, SnapshotFacts
from safehold.plan.job import JobFacts
from safehold.plan.names import RESTORED_BY, UNDO_OF, pair_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.restore.facts import Answer, CreatedObject, InquiryFacts, ObservedRestore, OwnSnapshot, VMFacts, Ways
from safehold.plan.restore.handover import POKED, SeenVolume
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.manifest import key
from safehold.plan.restore.plan.surroundings import Surroundings
from safehold.plan.restore.reconcile import next_step
from safehold.plan.storage import Claim, ClaimRef, ClaimShape, Volume
from safehold.plan.target.use import TargetFacts
from safehold.plan.tenancy import NamespaceFacts
from safehold.report import RunReport, VolumeReport

SERVED = {
    "v1": frozenset({"Secret", "ConfigMap", "ServiceAccount"}),
    "apps/v1": frozenset({"ControllerRevision"}),
    "kubevirt.io/v1": frozenset({"VirtualMachine"}),
    "instancetype.kubevirt.io/v1beta1": frozenset({"VirtualMachineInstancetype", "VirtualMachinePreference"}),
    "k8s.cni.cncf.io/v1": frozenset({"NetworkAttachmentDefinition"}),
}


@dataclass
class World:
    """The cluster's state. `contents` says what is on each persistent volume: filled, old, or new and empty."""

    restore: VMRestore
    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    saved: dict[tuple[str, str], dict[str, Any]] | None = None
    vm: VMFacts | None = None
    vm_name: str = "orders"
    job: JobFacts | None = None
    inquiry: JobFacts | None = None
    answer: Answer | Refusal | None = None
    owner_namespace: NamespaceFacts | None = None
    around: Surroundings = field(default_factory=lambda: Surroundings(served=SERVED))
    job_result: str = "Complete"
    report_reason: str = "Succeeded"
    ending: bool = False
    safety: SnapshotFacts | None = None
    has_snapshot_class: bool = True
    """Whether KubeVirt can snapshot the VM's volumes."""
    own_snapshots: frozenset[str] = frozenset()
    """Volumes of which the point's own snapshot is kept."""
    pairs: set[str] = field(default_factory=set)
    others_restores: list[VMRestore] = field(default_factory=list)
    backups: list[VMBackup] = field(default_factory=lambda: [backup()])
    recalled: list[dict[str, Any]] | Refusal = field(default_factory=machine_objects)
    target: TargetFacts | Refusal = TARGET
    now: datetime = NOW
    numbers: Any = field(default_factory=lambda: count(1))

    @classmethod
    def with_running_vm(cls, wanted: VMRestore | None = None) -> Self:
        """VM orders runs on its two volumes."""
        world = cls(wanted or restore())
        for name in ("root", "data"):
            ref = ClaimRef(SHOP, f"orders-{name}", f"{name}-uid")
            world._add_volume(f"old-{name}", ref, "old")
            labels, annotations = {"app": "orders"}, {"pv.kubernetes.io/bind-completed": "yes", "note": "kept"}
            world.claims[SHOP, ref.name] = Claim(
                ref=ref, shape=SHAPE, phase="Bound", volume=f"old-{name}", labels=labels, annotations=annotations
            )
        world.vm = VMFacts(
            uid="vm-uid",
            run_strategy="Always",
            is_active=True,
            is_running=True,
            claims={name: f"orders-{name}" for name in ("root", "data")},
        )
        return world

    def look(self) -> Look:
        """Everything, at once."""
        status = self.restore.status
        is_done = self.job is not None and self.job.outcome == "Complete"
        look = Look(
            restore=self.restore,
            now=self.now,
            seen=ObservedRestore(
                cluster_id=CLUSTER,
                operator_namespace=OPERATOR,
                namespace=NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={}),
                namespace_ending=self.ending,
                source=NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={}),
                backups=self.backups,
                source_vm_uid=self.vm.uid if self.vm else None,
                target=self.target,
                storage_classes=frozenset({"fast"}),
                vm=self.vm if status.vm is None or status.vm.name == self.vm_name else None,
                live_claims={name: claim for (namespace, name), claim in self.claims.items() if namespace == SHOP},
                others=self.others_restores,
                volumes={record.name: self._seen(record) for record in status.volumes},
                inquiry=InquiryFacts(
                    job=self.inquiry,
                    answer=self._told() if self.inquiry and status.start_time is None else None,
                    owner_namespace=self.owner_namespace,
                ),
                around=replace(
                    self.around,
                    dependencies=dict(self.objects),
                    snapshot_drivers=frozenset({DRIVER} if self.has_snapshot_class else ()),
                ),
                safety=self.safety,
                ways={name: self._ways(name) for name in ("root", "data", *(volume.name for volume in status.volumes))},
                job=self.job,
                objects=self.recalled if is_done else None,
                existing=dict(self.objects),
                saved=self.saved,
                created=self._created() if status.failure or self.restore.metadata.deletion_timestamp else (),
            ),
        )
        if look.in_place or status.vm is not None:
            return look
        new = self.vm if self.vm_name == look.restore.spec.target.name else None
        return replace(look, seen=replace(look.seen, vm=new))

    def _told(self) -> Answer | Refusal | None:
        """What the bucket says: of a point that a VMBackup told of, the same, and the manifest."""
        if self.answer is not None or isinstance(self.recalled, Refusal) or self.restore.status.point is None:
            return self.answer
        return Answer(point=self.restore.status.point, objects=self.recalled)

    def decide(self) -> Decision:
        """What the planner says now."""
        return next_step(self.look())

    def save(self, status: VMRestoreStatus) -> None:
        """Apply the status, through the wire and back."""
        self.restore = VMRestore.model_validate(
            {**self.restore.to_wire(), "status": status.to_wire(), "metadata": self.restore.metadata.to_wire()}
        )

    def ask_undo(self) -> None:
        """What a person does: set `spec.undo`."""
        spec = self.restore.spec.model_copy(update={"undo": True})
        metadata = self.restore.metadata.model_copy(update={"generation": 2})
        self.restore = self.restore.model_copy(update={"spec": spec, "metadata": metadata})

    def step(self) -> Decision:
        """One pass of the reconcile, and a round of everybody else."""
        decision = self.decide()
        self.save(decision.status)
        self.carry_out(decision.step)
        self.others()
        return decision

    def run(self, limit: int = 300) -> VMRestore:
        """Reconcile, with everybody else at work, until the restore has ended."""
        for _ in range(limit):
            decision = self.decide()
            self.save(decision.status)
            if isinstance(decision.step, steps.Finished):
                return self.restore
            self.carry_out(decision.step)
            self.others()
        raise AssertionError(f"did not end: {self.restore.status.phase} {self.restore.status.conditions}")

    def carry_out(self, step: steps.Step) -> None:
        """What the API server does with the write; guards hold as they do there."""
        match step:
            case steps.KeepVolume(name, _, labels, annotations):
                volume = self.volumes[name]
                marks = {"labels": {**volume.labels, **labels}, "annotations": {**volume.annotations, **annotations}}
                self._change(name, reclaim_policy="Retain", **marks)
            case steps.SetReclaimPolicy(name, _, policy, None):
                self._change(name, reclaim_policy=policy)
            case steps.SetReclaimPolicy(name, _, policy, dropped):
                kept = {key: value for key, value in self.volumes[name].labels.items() if key != dropped}
                self._change(name, reclaim_policy=policy, labels=kept, annotations={})
            case steps.AssignVolume(name, version, ref):
                if name in self.volumes and self.volumes[name].resource_version == version:
                    self._change(name, claim=ref)
            case steps.CreateClaim() | steps.DeleteClaim() | steps.PokeClaim() | steps.OwnClaim():
                self._carry_out_claim(step)
            case steps.StartRestoreJob() | steps.StartInquiry() | steps.DeleteJob():
                self._carry_out_job(step)
            case steps.TakeSafetySnapshot() | steps.DeleteSafetySnapshot() | steps.MakePair() | steps.RemovePair():
                self._carry_out_snapshot(step)
            case _:
                self._carry_out_machine(step)

    def _carry_out_claim(self, step: steps.CreateClaim | steps.DeleteClaim | steps.PokeClaim | steps.OwnClaim) -> None:
        match step:
            case steps.CreateClaim(new):
                ref = ClaimRef(new.namespace, new.name, f"claim-{next(self.numbers)}")
                claim = Claim(
                    ref=ref,
                    shape=new.shape,
                    volume=new.volume,
                    labels=new.labels,
                    annotations=new.annotations,
                    owners=new.owners,
                    snapshot=new.snapshot,
                    created=self.now,
                )
                self.claims.setdefault((new.namespace, new.name), claim)
            case steps.DeleteClaim(ref):
                self.delete_claim(ref)
            case steps.PokeClaim(ref, value):
                claim = self.claims[ref.namespace, ref.name]
                self.claims[ref.namespace, ref.name] = replace(claim, annotations={**claim.annotations, POKED: value})
            case steps.OwnClaim(ref, vm, uid):
                owner = OwnerRecord(api_version="kubevirt.io/v1", kind="VirtualMachine", name=vm, uid=uid)
                place = (ref.namespace, ref.name)
                self.claims[place] = replace(self.claims[place], owners=(owner,))

    def _carry_out_snapshot(self, step: steps.Step) -> None:
        match step:
            case steps.TakeSafetySnapshot(name):
                assert self.vm is not None
                assert not self.vm.is_active
                self.safety = self.safety or safety_snapshot(name, self.now)
            case steps.DeleteSafetySnapshot():
                self.safety = None
            case steps.MakePair(handle):
                self.pairs.add(handle.pair_name)
            case steps.RemovePair(name):
                self.pairs.remove(name)

    def _carry_out_machine(self, step: steps.Step) -> None:
        match step:
            case steps.SaveObjects():
                self.saved = self.saved or {key(manifest): dict(manifest) for manifest in step.manifests}
            case steps.CreateObject(manifest) if manifest["kind"] == "VirtualMachine":
                assert self.vm is None or self.vm_name != manifest["metadata"]["name"]
                self.vm_name = manifest["metadata"]["name"]
                self.vm = VMFacts(
                    uid="new-vm", run_strategy="Halted", is_active=False, is_running=False, restored_by="restore-uid"
                )
            case steps.CreateObject(manifest):
                self.objects.setdefault(key(manifest), dict(manifest))
            case steps.DeleteObject(_, "VirtualMachine"):
                self.vm = None
            case steps.DeleteObject(_, kind, name):
                del self.objects[kind, name]
            case steps.SetRunStrategy(_, _, strategy):
                assert self.vm is not None
                self.vm = replace(self.vm, run_strategy=strategy)
            case steps.StartVM():
                assert self.vm is not None
                self.vm = replace(self.vm, is_active=True, is_running=True)
            case _:
                assert isinstance(step, steps.Record | steps.Wait | steps.AdoptSecret | steps.Finished), step

    def _carry_out_job(self, step: steps.StartRestoreJob | steps.StartInquiry | steps.DeleteJob) -> None:
        match step:
            case steps.StartRestoreJob(name):
                self.job = JobFacts(name=name, uid="job-uid")
            case steps.StartInquiry(name, run):
                report = RunReport(run_id=run.run_id, verb="describe", succeeded=True, reason="Succeeded", message="")
                self.inquiry = JobFacts(
                    name=name, uid="inquiry-uid", outcome="Complete", termination_message=report.model_dump_json()
                )
            case steps.DeleteJob(name) if self.inquiry is not None and self.inquiry.name == name:
                self.inquiry = None
            case steps.DeleteJob():
                self.job = None

    def delete_claim(self, ref: ClaimRef) -> None:
        """A claim goes when nothing runs on it; the deletion is remembered until then."""
        claim = self.claims.get((ref.namespace, ref.name))
        if claim is not None and claim.ref.uid == ref.uid:
            self.claims[ref.namespace, ref.name] = replace(claim, deleting=True)
            self.others()

    def others(self) -> None:
        """One round of everybody else: KubeVirt, the worker, the provisioner, the volume controller."""
        self.now += timedelta(seconds=1)
        if self.vm is not None:
            active = self.vm.run_strategy == "Always"
            self.vm = replace(self.vm, is_active=active, is_running=active)
        self._snapshot()
        self._work()
        for place, claim in list(self.claims.items()):
            if claim.deleting and not self._is_held(claim):
                del self.claims[place]
        self._provision()
        for volume in list(self.volumes.values()):
            self._bind(volume)

    def _snapshot(self) -> None:
        """KubeVirt finishes its snapshot, of the volumes that it can snapshot."""
        if self.safety is not None and not self.safety.ready:
            volumes = captured_volumes() if self.has_snapshot_class else ()
            capture = CaptureFacts(uid="capture", vm_uid="vm-uid", disks={}, cut_time=self.now, volumes=volumes)
            self.safety = replace(self.safety, ready=True, succeeded=True, capture=capture)

    def _ways(self, name: str) -> Ways:
        taken = self.safety is not None and self.safety.ready and self.has_snapshot_class
        pair = pair_name("restore-uid", name)
        own = OwnSnapshot(name=f"own-{name}", driver=DRIVER, restore_size_bytes=2 * GIB)
        return Ways(
            driver=DRIVER,
            own=own if name in self.own_snapshots else None,
            safety=snapshot_handle(name) if taken else None,
            has_pair=pair in self.pairs,
            pair_ready=pair in self.pairs,
        )

    def _is_held(self, claim: Claim) -> bool:
        if claim.ref.namespace == OPERATOR:
            return self.job is not None
        vm = self.vm
        return vm is not None and vm.is_active and claim.ref.name in vm.claims.values()

    def _work(self) -> None:
        records = self.restore.status.volumes
        if self.job is None or self.job.outcome is not None:
            return
        primes = [self.claims.get((OPERATOR, record.prime_claim)) for record in records]
        if not all(prime is not None and prime.phase == "Bound" for prime in primes):
            return
        succeeded = self.job_result == "Complete"
        for prime in primes:
            assert prime is not None
            self.contents[prime.volume or ""] = "restored" if succeeded else "half"
        report = RunReport(
            run_id="restore-uid",
            verb="restore",
            succeeded=succeeded,
            reason=self.report_reason,
            message="the worker's sentence",
            volumes=[VolumeReport(name=record.name, bytes_total=2 * GIB) for record in records],
        )
        outcome: Any = self.job_result
        self.job = replace(self.job, outcome=outcome, termination_message=report.model_dump_json())

    def _provision(self) -> None:
        for place, claim in list(self.claims.items()):
            if claim.phase == "Pending" and claim.volume is None:
                free = next((volume for volume in self.volumes.values() if volume.claim is None), None)
                name = free.name if free else f"pv-{next(self.numbers)}"
                if free is None:
                    self._add_volume(name, claim.ref, "empty", claim.shape)
                else:
                    self._change(name, claim=claim.ref)
                self.claims[place] = replace(claim, volume=name)

    def _bind(self, volume: Volume) -> None:
        holder = self.claims.get((volume.claim.namespace, volume.claim.name)) if volume.claim else None
        if volume.claim is None:
            return
        if holder is None or holder.ref != volume.claim:
            if volume.reclaim_policy == "Delete":
                del self.volumes[volume.name]
                self.lost.append(self.contents[volume.name])
            elif volume.phase != "Released":
                self._change(volume.name, phase="Released")
        elif holder.volume == volume.name:
            if volume.phase != "Bound":
                self._change(volume.name, phase="Bound")
            self.claims[holder.ref.namespace, holder.ref.name] = replace(holder, phase="Bound")

    def _seen(self, record: Any) -> SeenVolume:
        prime = self.claims.get((OPERATOR, record.prime_claim))
        claim = self.claims.get((SHOP, record.claim_name))
        old = claim.volume if record.step == Mark.VERIFIED and claim else record.old_persistent_volume
        return SeenVolume(
            prime=prime,
            volume=self.volumes.get(record.persistent_volume or (prime.volume if prime else None) or ""),
            claim=claim,
            old=self.volumes.get(old or ""),
        )

    def _created(self) -> list[CreatedObject]:
        made = [
            CreatedObject(api_version="v1", kind=kind, name=name, uid="object-uid")
            for (kind, name), manifest in self.objects.items()
            if (manifest["metadata"].get("labels") or {}).get(RESTORED_BY) == "restore-uid"
        ]
        if self.vm is not None and self.vm.restored_by == "restore-uid":
            made.append(
                CreatedObject(api_version="kubevirt.io/v1", kind="VirtualMachine", name=self.vm_name, uid=self.vm.uid)
            )
        return made

    def _add_volume(self, name: str, ref: ClaimRef, content: str, shape: ClaimShape = SHAPE) -> None:
        self.contents[name] = content
        self.volumes[name] = Volume(
            name=name,
            uid=f"{name}-uid",
            resource_version=str(next(self.numbers)),
            shape=shape,
            phase="Bound",
            reclaim_policy="Delete",
            claim=ref,
        )

    def _change(self, name: str, **changes: Any) -> None:
        if name in self.volumes:
            version = str(next(self.numbers))
            self.volumes[name] = replace(self.volumes[name], resource_version=version, **changes)

    def content_of(self, claim: str) -> str | None:
        """What a claim of the VM's namespace holds, if it is bound both ways."""
        found = self.claims.get((SHOP, claim))
        if found is None or found.phase != "Bound" or found.volume is None:
            return None
        volume = self.volumes.get(found.volume)
        return self.contents[found.volume] if volume is not None and volume.claim == found.ref else None

    def leftovers(self) -> Mapping[str, object]:
        """What a restore must not leave: claims and Jobs of its own, volumes that nobody has."""
        kept = {name for name, volume in self.volumes.items() if UNDO_OF in volume.labels}
        held = {claim.volume for claim in self.claims.values()}
        return {
            **{f"{namespace}/{name}": True for namespace, name in self.claims if namespace == OPERATOR},
            **({"job": True} if self.job else {}),
            **({"inquiry": True} if self.inquiry else {}),
            **dict.fromkeys(self.pairs, True),
            **{name: volume for name, volume in self.volumes.items() if name not in kept | held},
        }
