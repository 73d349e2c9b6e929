"""A cluster in miniature around one VMRestore, reconciled step by step."""

from dataclasses import replace
from typing import Any

from tests.plan.restore.cluster import Cluster
from tests.plan.restore.objects import (
    CLUSTER,
    DRIVER,
    GIB,
    OPERATOR,
    SHOP,
    snapshot_handle,
)

from safehold.api import VMRestore
from safehold.api.vmrestore import VMRestoreStatus
from safehold.plan.names import RESTORED_BY, pair_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore import steps
from safehold.plan.restore.facts import Answer, CreatedObject, InquiryFacts, ObservedRestore, OwnSnapshot, Ways
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.reconcile import next_step
from safehold.plan.restore.volumes.handover import SeenVolume
from safehold.plan.tenancy import NamespaceFacts


class World(Cluster):
    """The cluster, and Safehold in it: what it sees, decides and has done."""

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
        self.follow(decision)
        return decision

    def follow(self, decision: Decision) -> None:
        """Save the status, do the step, and let everybody else have a round."""
        self.save(decision.status)
        self.carry_out(decision.step)
        self.others()

    def start_worker(self) -> Decision:
        """Reconcile until the worker is started, and no further; nobody else has seen it yet."""
        while True:
            decision = self.decide()
            self.save(decision.status)
            self.carry_out(decision.step)
            if self.job is not None:
                return decision
            self.others()

    def run(self, limit: int = 300) -> VMRestore:
        """Reconcile, with everybody else at work, until the restore has ended."""
        for _ in range(limit):
            decision = self.decide()
            if isinstance(decision.step, steps.Finished):
                self.save(decision.status)
                return self.restore
            self.follow(decision)
        raise AssertionError(f"did not end: {self.restore.status.phase} {self.restore.status.conditions}")

    def _ways(self, name: str) -> Ways:
        taken = self.safety is not None and self.safety.ready and self.has_snapshot_class
        pair = pair_name("restore-uid", name)
        own = OwnSnapshot(name=f"own-{name}", driver=DRIVER, restore_size_bytes=2 * GIB)
        return Ways(
            driver=DRIVER,
            own=own if name in self.own_snapshots else None,
            safety=snapshot_handle(name) if taken else None,
            has_pair=pair in self.pairs,
            pair_since=self.pairs.get(pair),
            pair_ready=pair in self.pairs and self.driver_answers,
        )

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
