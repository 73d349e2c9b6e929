"""What there is around one VMRestore beside storage: the VM, other objects, Jobs, snapshots; and who acts on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from tests.plan.restore.objects import (
    GIB,
    OPERATOR,
    SHAPE,
    SHOP,
    TARGET,
    backup,
    captured_volumes,
    machine_objects,
    restore,
    safety_snapshot,
)
from tests.plan.restore.storage import Storage

from safehold.api import VMBackup, VMRestore
from safehold.plan.backup.capture_facts import CaptureFacts, SnapshotFacts
from safehold.plan.job import JobFacts
from safehold.plan.names import UNDO_OF
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.restore.facts import Answer, VMFacts
from safehold.plan.restore.machine.manifest import key
from safehold.plan.restore.plan.surroundings import Surroundings
from safehold.plan.storage import Claim, ClaimRef
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
class Cluster(Storage):
    """The API server, KubeVirt and a worker, as far as a restore meets them."""

    restore: VMRestore
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
    pairs: dict[str, datetime] = field(default_factory=dict)
    """By name: since when they are there."""
    driver_answers: bool = True
    """Whether snapshots come to be readable through our pairs."""
    others_restores: list[VMRestore] = field(default_factory=list)
    backups: list[VMBackup] = field(default_factory=lambda: [backup()])
    recalled: list[dict[str, Any]] | Refusal = field(default_factory=machine_objects)
    target: TargetFacts | Refusal = TARGET

    @classmethod
    def with_running_vm(cls, wanted: VMRestore | None = None) -> Self:
        """VM orders runs on its two volumes."""
        world = cls(wanted or restore())
        for name in ("root", "data"):
            ref = ClaimRef(SHOP, f"orders-{name}", f"{name}-uid")
            world.add_volume(f"old-{name}", ref, "old")
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

    def carry_out(self, step: steps.Step) -> None:
        """What the API server does with the write; guards hold as they do there."""
        match step:
            case steps.KeepVolume() | steps.SetReclaimPolicy() | steps.AssignVolume():
                self.write_volume(step)
            case steps.CreateClaim() | steps.DeleteClaim() | steps.PokeClaim() | steps.OwnClaim():
                self.write_claim(step)
            case steps.StartRestoreJob() | steps.StartInquiry() | steps.DeleteJob():
                self._carry_out_job(step)
            case steps.TakeSafetySnapshot() | steps.DeleteSafetySnapshot() | steps.MakePair() | steps.RemovePair():
                self._carry_out_snapshot(step)
            case _:
                self._carry_out_machine(step)

    def _carry_out_snapshot(self, step: steps.Step) -> None:
        match step:
            case steps.TakeSafetySnapshot(name):
                assert self.vm is not None
                assert not self.vm.is_active
                self.safety = self.safety or safety_snapshot(name, self.now)
            case steps.DeleteSafetySnapshot():
                self.safety = None
            case steps.MakePair(handle):
                self.pairs.setdefault(handle.pair_name, self.now)
            case steps.RemovePair(name):
                del self.pairs[name]

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

    def others(self) -> None:
        """One round of everybody else: KubeVirt, the worker, the provisioner, the volume controller."""
        self.now += timedelta(seconds=1)
        if self.vm is not None:
            active = self.vm.run_strategy == "Always"
            self.vm = replace(self.vm, is_active=active, is_running=active)
        self._snapshot()
        self._work()
        self.settle(self._is_held)

    def _snapshot(self) -> None:
        """KubeVirt finishes its snapshot, of the volumes that it can snapshot."""
        if self.safety is not None and not self.safety.ready:
            volumes = captured_volumes() if self.has_snapshot_class else ()
            capture = CaptureFacts(uid="capture", vm_uid="vm-uid", disks={}, cut_time=self.now, volumes=volumes)
            self.safety = replace(self.safety, ready=True, succeeded=True, capture=capture)

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
