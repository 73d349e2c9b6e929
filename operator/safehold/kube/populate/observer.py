"""One look at what surrounds a claim that fills itself."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from safehold.api import VMBackup
from safehold.kube.client import Cluster, Manifest
from safehold.kube.job_facts import observe_job
from safehold.kube.kinds import CLAIM, JOB, SECRET, STORAGE_CLASS, VM_BACKUP
from safehold.kube.populate.requests import backup_of
from safehold.kube.restore.storage import claim_from, observe_claim, observe_volume
from safehold.kube.target.resolution import read_namespace, read_secrets, resolve_target
from safehold.plan.names import MANAGED_BY, MANAGER, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID, label_value
from safehold.plan.populate.facts import CLAIM_KIND, ClassFacts, Orphan, PopulateFacts
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import TargetFacts
from safehold.plan.tenancy import NamespaceFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulateObserver:
    """Reads the facts, with the operator's rights."""

    cluster: Cluster
    cluster_id: str
    operator_namespace: str
    endpoint_rules: EndpointRules

    async def observe(self, namespace: str, name: str, now: datetime) -> PopulateFacts | None:
        """The facts for `safehold.plan.populate.reconcile.next_step`; None when the claim is gone, or asks nothing."""
        found = await self.cluster.get(CLAIM, name, namespace)
        backup = backup_of(found) if found else None
        if found is None or backup is None or "deletionTimestamp" in found["metadata"]:
            return None
        own = await read_namespace(self.cluster, namespace)
        facts = PopulateFacts(
            claim=claim_from(found),
            backup_name=backup,
            now=now,
            cluster_id=self.cluster_id,
            operator_namespace=self.operator_namespace,
            namespace=own or NamespaceFacts(name=namespace, uid="", labels={}, annotations={}),
        )
        facts = await self._with_work(facts)
        if facts.claim.phase == "Bound":
            return facts
        return await self._with_target(await self._with_source(facts))

    async def orphans(self, namespace: str, name: str) -> list[Orphan]:
        """What was made for claims of that name that are gone. Which live is asked by uid: long names are cut."""
        labels = {
            MANAGED_BY: MANAGER,
            OWNER_KIND: CLAIM_KIND,
            OWNER_NAMESPACE: namespace,
            OWNER_NAME: label_value(name),
        }
        primes, jobs, secrets = [
            await self.cluster.list(kind, self.operator_namespace, labels=labels) for kind in (CLAIM, JOB, SECRET)
        ]
        if not (primes or jobs or secrets):
            return []
        living = {found["metadata"]["uid"] for found in await self.cluster.list(CLAIM, namespace)}
        owners = {_owner(item) for item in (*primes, *jobs, *secrets)} - living
        return [await self._orphan(uid, primes, (*jobs, *secrets)) for uid in sorted(owners)]

    async def _orphan(self, uid: str, primes: Iterable[Manifest], work: Iterable[Manifest]) -> Orphan:
        prime = next((claim_from(found) for found in primes if _owner(found) == uid), None)
        return Orphan(
            uid=uid,
            jobs=tuple(sorted({found["metadata"]["name"] for found in work if _owner(found) == uid})),
            prime=prime,
            volume=await observe_volume(self.cluster, prime.volume if prime else None),
        )

    async def _with_work(self, facts: PopulateFacts) -> PopulateFacts:
        prime = await observe_claim(self.cluster, self.operator_namespace, facts.prime_name)
        return replace(
            facts,
            prime=prime,
            volume=await observe_volume(self.cluster, prime.volume if prime else None),
            job=await observe_job(self.cluster, self.operator_namespace, facts.job_name, run_id=facts.uid),
        )

    async def _with_source(self, facts: PopulateFacts) -> PopulateFacts:
        backup = await self.cluster.get(VM_BACKUP, facts.backup_name, facts.source_name)
        return replace(
            facts,
            source=await read_namespace(self.cluster, facts.source_name),
            backup=VMBackup.model_validate(backup) if backup else None,
            storage_class=await self._class(facts.claim.shape.storage_class),
        )

    async def _with_target(self, facts: PopulateFacts) -> PopulateFacts:
        if facts.backup is None or facts.job is not None:
            return facts
        target = await resolve_target(
            self.cluster,
            facts.backup.spec.target_ref,
            facts.source_name,
            operator_namespace=self.operator_namespace,
            rules=self.endpoint_rules,
        )
        if isinstance(target, TargetFacts):
            target = (await read_secrets(self.cluster, target)).refusal or target
        return replace(facts, target=target)

    async def _class(self, name: str | None) -> ClassFacts | None:
        found = await self.cluster.get(STORAGE_CLASS, name) if name else None
        if found is None:
            return None
        return ClassFacts(
            name=found["metadata"]["name"],
            waits_for_consumer=found.get("volumeBindingMode") == "WaitForFirstConsumer",
            reclaim_policy="Retain" if found.get("reclaimPolicy") == "Retain" else "Delete",
        )


def _owner(item: Manifest) -> str:
    return str(item["metadata"]["labels"][OWNER_UID])
