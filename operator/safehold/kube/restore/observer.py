"""One look at everything that a decision about a VMRestore depends on; as few reads as its stage needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from safehold.api import TargetRef, VMBackup, VMRestore
from safehold.api.restore_point import RestorePoint
from safehold.errors import NotServedError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.job_facts import observe_job
from safehold.kube.kinds import NAMESPACE, SECRET, SERVICE_ACCOUNT, STORAGE_CLASS, VM, VM_BACKUP, VM_RESTORE, VMI, Kind
from safehold.kube.machine_state import own_state_of, state_claim_of
from safehold.kube.restore.envelope import recall
from safehold.kube.restore.inquiry import observe_inquiry, read_inquiry
from safehold.kube.restore.placement import kept_volumes, node_selector_of
from safehold.kube.restore.replaced import read_saved_objects
from safehold.kube.restore.restorable import RESTORABLE, SHARED
from safehold.kube.restore.snapshots import observe_safety, observe_ways
from safehold.kube.restore.storage import observe_claim, observe_handover
from safehold.kube.restore.surroundings import observe_surroundings
from safehold.kube.target.resolution import read_namespace, read_secrets, resolve_target
from safehold.kube.virtualmachines import ENDED, claims_of
from safehold.plan.machine_state import STATE_VOLUME
from safehold.plan.names import RESTORED_BY, job_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.admission import claims_of_interest, vm_name
from safehold.plan.restore.facts import CreatedObject, ObjectKey, ObservedRestore, VMFacts
from safehold.plan.restore.look import Look, Mark
from safehold.plan.restore.machine.manifest import Machine, key, run_strategy
from safehold.plan.restore.machine.mappings import storage_class_of
from safehold.plan.restore.machine.rebuild import read_machine
from safehold.plan.restore.point.choice import source_facts
from safehold.plan.restore.point.description import disks_of
from safehold.plan.restore.point.source import Inquiry, choose
from safehold.plan.restore.undo.undo import is_undo_asked
from safehold.plan.restore.volumes.handover import SeenVolume
from safehold.plan.storage import Claim
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import TargetFacts
from safehold.plan.tenancy import NamespaceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreObserver:
    """Reads the facts, with the operator's rights."""

    cluster: Cluster
    cluster_id: str
    operator_namespace: str
    endpoint_rules: EndpointRules

    async def observe(self, restore: VMRestore, now: datetime) -> Look:
        """The facts for `safehold.plan.restore.reconcile.next_step`."""
        namespace = restore.metadata.namespace or ""
        holder = await self.cluster.get(NAMESPACE, namespace)
        facts = await read_namespace(self.cluster, namespace)
        seen = ObservedRestore(
            cluster_id=self.cluster_id,
            operator_namespace=self.operator_namespace,
            namespace=facts or NamespaceFacts(name=namespace, uid="", labels={}, annotations={}),
            namespace_ending=holder is None or "deletionTimestamp" in holder["metadata"],
            inquiry=await observe_inquiry(self.cluster, restore, self.operator_namespace),
        )
        status = restore.status
        look = Look(restore=restore, seen=seen, now=now)
        if is_undo_asked(restore):
            return replace(look, seen=await self._for_undo(restore, seen))
        if look.is_over:
            return replace(look, seen=await self._after_end(restore, seen, now))
        if status.point is None:
            seen = await self._before_choice(restore, seen)
        elif status.start_time is None:
            seen = await self._before_admission(restore, seen)
        else:
            seen = await self._under_way(restore, seen)
        look = Look(restore=restore, seen=seen, now=now)
        if status.failure or look.deleting or seen.namespace_ending:
            return replace(look, seen=await self._given_up(restore, seen))
        if status.point is not None and not look.is_admitted:
            around, ways = await observe_surroundings(self.cluster, look)
            return replace(look, seen=replace(seen, around=around, ways=ways))
        return await self._with_machine(look)

    async def _for_undo(self, restore: VMRestore, seen: ObservedRestore) -> ObservedRestore:
        vm = restore.status.vm
        return replace(
            seen,
            vm=await self._vm(seen.namespace.name, vm.name) if vm else None,
            volumes=await self._volumes(restore),
            others=await self._others(restore) if restore.status.undo_start_time is None else (),
        )

    async def _after_end(self, restore: VMRestore, seen: ObservedRestore, now: datetime) -> ObservedRestore:
        """What was kept, once its time is over."""
        status = restore.status
        if status.undo_until is None or status.removal_time is not None or now < status.undo_until:
            return seen
        safety = await observe_safety(self.cluster, restore)
        return replace(seen, safety=safety, volumes=await self._volumes(restore))

    async def _volumes(self, restore: VMRestore) -> dict[str, SeenVolume]:
        return {
            record.name: await observe_handover(
                self.cluster,
                record,
                operator_namespace=self.operator_namespace,
                namespace=restore.metadata.namespace or "",
            )
            for record in restore.status.volumes
        }

    async def _before_choice(self, restore: VMRestore, seen: ObservedRestore) -> ObservedRestore:
        source = restore.spec.source
        namespace = source.namespace or seen.namespace.name
        backups: Sequence[Manifest | None] = ()
        if source.backup:
            backups = [await self.cluster.get(VM_BACKUP, source.backup, namespace)]
        elif source.vm:
            backups = await self._backups_of(source.vm, namespace)
        vm = await self.cluster.get(VM, source.vm, namespace) if source.vm else None
        seen = replace(
            seen,
            source=await read_namespace(self.cluster, namespace),
            backups=[VMBackup.model_validate(found) for found in backups if found is not None],
            source_vm_uid=vm["metadata"]["uid"] if vm else None,
        )
        wanted = choose(restore, source_facts(seen))
        if not isinstance(wanted, Inquiry):
            return seen
        return await self._with_answer(restore, wanted.target_ref, wanted.target_namespace, seen)

    async def _backups_of(self, vm: str, namespace: str) -> list[Manifest]:
        """By what they say: those that people made need not have the VM's label."""
        pages = self.cluster.pages(VM_BACKUP, namespace)
        return [found async for page in pages for found in page.items if found["spec"]["vm"]["name"] == vm]

    async def _with_answer(
        self, restore: VMRestore, target_ref: TargetRef, target_namespace: str, seen: ObservedRestore
    ) -> ObservedRestore:
        """The target whose bucket is asked, and what it answered."""
        inquiry = await read_inquiry(
            self.cluster,
            restore,
            seen.inquiry,
            target_ref=target_ref,
            target_namespace=target_namespace,
            operator_namespace=self.operator_namespace,
        )
        return replace(await self._with_target(target_ref, target_namespace, seen), inquiry=inquiry)

    async def _before_admission(self, restore: VMRestore, seen: ObservedRestore) -> ObservedRestore:
        point, mode = restore.status.point, restore.spec.target.mode
        assert point is not None
        seen = await self._with_answer(restore, point.target_ref, point.target_namespace, seen)
        name = vm_name(restore, point)
        vm = None if mode == "VolumesOnly" else await self._vm(seen.namespace.name, name)
        claims = await self._claims(seen.namespace.name, claims_of_interest(restore, point, vm))
        account = restore.spec.service_account_name
        found_account = await self.cluster.get(SERVICE_ACCOUNT, account, seen.namespace.name) if account else None
        return replace(
            seen,
            vm=vm,
            storage_classes=await self._classes(restore, point, claims.values()),
            live_claims=claims,
            state_claim=await state_claim_of(self.cluster, seen.namespace.name, name) if mode == "NewVM" else None,
            others=await self._others(restore),
            has_service_account=found_account is not None,
        )

    async def _claims(self, namespace: str, names: Iterable[str]) -> dict[str, Claim]:
        """Those of the claims that exist."""
        found = [await observe_claim(self.cluster, namespace, name) for name in names]
        return {claim.ref.name: claim for claim in found if claim is not None}

    async def _others(self, restore: VMRestore) -> list[VMRestore]:
        if restore.spec.target.mode != "InPlace":
            return []
        found = await self.cluster.list(VM_RESTORE, restore.metadata.namespace)
        return [VMRestore.model_validate(other) for other in found if other["metadata"]["uid"] != restore.metadata.uid]

    async def _classes(self, restore: VMRestore, point: RestorePoint, claims: Iterable[Claim]) -> frozenset[str]:
        """Those of the classes that may be needed which exist."""
        named = {storage_class_of(restore, volume.storage_class_name) for volume in disks_of(point)}
        named |= {claim.shape.storage_class for claim in claims}
        return frozenset([name for name in named if name and await self.cluster.get(STORAGE_CLASS, name)])

    async def _under_way(self, restore: VMRestore, seen: ObservedRestore) -> ObservedRestore:
        status = restore.status
        name = job_name("restore", restore.metadata.name, restore.metadata.uid)
        job = await observe_job(self.cluster, self.operator_namespace, name, run_id=restore.metadata.uid)
        seen = replace(
            seen,
            job=job,
            vm=await self._vm(seen.namespace.name, status.vm.name) if status.vm else None,
            volumes=await self._volumes(restore),
        )
        filling = any(record.step is None for record in status.volumes)
        safety = await observe_safety(self.cluster, restore) if filling else None
        ways = await observe_ways(self.cluster, restore, safety, operator_namespace=self.operator_namespace)
        seen = replace(seen, safety=safety, ways=ways)
        if status.point is None or job is not None or not filling:
            return seen
        if seen.vm is not None:
            seen = replace(seen, kept_volumes=await kept_volumes(self.cluster, restore, seen.vm))
        return await self._with_target(status.point.target_ref, status.point.target_namespace, seen)

    async def _with_target(self, ref: TargetRef, namespace: str, seen: ObservedRestore) -> ObservedRestore:
        target = await resolve_target(
            self.cluster,
            ref,
            namespace,
            operator_namespace=self.operator_namespace,
            rules=self.endpoint_rules,
        )
        if isinstance(target, TargetFacts):
            target = (await read_secrets(self.cluster, target)).refusal or target
        return replace(seen, target=target)

    async def _vm(self, namespace: str, name: str) -> VMFacts | None:
        vm = await self.cluster.get(VM, name, namespace)
        if vm is None:
            return None
        vmi = await self.cluster.get(VMI, name, namespace)
        state = await state_claim_of(self.cluster, namespace, name, vmi) if any(own_state_of(vm)) else None
        return VMFacts(
            uid=vm["metadata"]["uid"],
            run_strategy=run_strategy(vm["spec"]),
            is_active=vmi is not None,
            is_running=vmi is not None and (vmi.get("status") or {}).get("phase") not in ENDED,
            snapshot=(vm.get("status") or {}).get("snapshotInProgress"),
            restored_by=(vm["metadata"].get("labels") or {}).get(RESTORED_BY),
            deleting="deletionTimestamp" in vm["metadata"],
            claims={**claims_of(vm), **({STATE_VOLUME: state} if state else {})},
            node_selector=node_selector_of(vm),
        )

    async def _with_machine(self, look: Look) -> Look:
        """For a new VM whose worker is done: what it recalled, and what exists of it already."""
        job, vm = look.seen.job, look.status.vm
        if look.in_place or vm is None or vm.uid is not None or job is None or job.outcome != "Complete":
            return look
        objects = await recall(self.cluster, self.operator_namespace, job.name, look.uid)
        look = replace(look, seen=replace(look.seen, objects=objects))
        if not look.all_are(Mark.HANDING_OVER):
            return look
        machine = read_machine(look)
        if isinstance(machine, Refusal):
            return look
        seen = replace(
            look.seen,
            existing=await self._existing(map(key, machine.dependencies), look.seen.namespace.name),
            saved=await read_saved_objects(self.cluster, look.restore),
            missing=await self._missing(machine),
        )
        return replace(look, seen=seen)

    async def _existing(self, wanted: Iterable[ObjectKey], namespace: str) -> dict[ObjectKey, Mapping[str, Any]]:
        found = {name: await self._get_if_served(RESTORABLE[name[0]], name[1], namespace) for name in wanted}
        return {name: manifest for name, manifest in found.items() if manifest is not None}

    async def _missing(self, machine: Machine) -> list[str]:
        shared = [(SHARED[kind], name) for kind, name in machine.shared]
        return [f"{kind.kind} {name}" for kind, name in shared if await self._get_if_served(kind, name, None) is None]

    async def _given_up(self, restore: VMRestore, seen: ObservedRestore) -> ObservedRestore:
        saved = await read_saved_objects(self.cluster, restore)
        return replace(
            seen,
            created=await self._created(restore),
            run_secret=await self._has_run_secret(restore),
            saved=saved,
            safety=await observe_safety(self.cluster, restore),
            existing=await self._existing(saved or (), restore.metadata.namespace or ""),
        )

    async def _has_run_secret(self, restore: VMRestore) -> bool:
        name = job_name("restore", restore.metadata.name, restore.metadata.uid)
        return await self.cluster.get(SECRET, name, self.operator_namespace) is not None

    async def _created(self, restore: VMRestore) -> list[CreatedObject]:
        """Of what the record names, the objects that carry this restore's mark."""
        status = restore.status
        if restore.spec.target.mode == "InPlace" or status.vm is None:
            return []
        created: list[CreatedObject] = []
        for kind_name, name in [(VM.kind, status.vm.name), *(needed.split(" ", 1) for needed in status.needed_objects)]:
            kind = RESTORABLE[kind_name]
            found = await self._get_if_served(kind, name, restore.metadata.namespace or "")
            metadata = (found or {}).get("metadata") or {}
            if (metadata.get("labels") or {}).get(RESTORED_BY) == restore.metadata.uid:
                created.append(
                    CreatedObject(api_version=kind.api_version, kind=kind.kind, name=name, uid=metadata["uid"])
                )
        return created

    async def _get_if_served(self, kind: Kind, name: str, namespace: str | None) -> Manifest | None:
        """None also for a kind that is not installed; creating such an object will say so."""
        try:
            return await self.cluster.get(kind, name, namespace)
        except NotServedError:
            return None
