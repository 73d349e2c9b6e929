"""One look at what a capture by KubeVirt's own backup depends on."""

from collections.abc import Mapping

from safehold.api.capture import PullCapture
from safehold.api.vmbackup import VMBackup
from safehold.errors import NotServedError
from safehold.kube.backup.claims import observe_claim
from safehold.kube.backup.pull.wording import backup_facts, instance_facts, rivals, tracker_facts
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM_EXPORT, VM_PULL_BACKUP, VM_TRACKER, VMI
from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.facts import MachineFacts
from safehold.plan.backup.pull.facts import PullFacts, TrackerFacts


async def observe_pull(cluster: Cluster, backup: VMBackup, machine: MachineFacts | None, *, enabled: bool) -> PullFacts:
    """The facts; kinds that KubeVirt does not serve are no failure."""
    if not enabled or machine is None:
        return PullFacts(enabled=enabled)
    namespace, pull = backup.metadata.namespace or "", backup.status.pull or PullCapture()
    try:
        backups = await cluster.list(VM_PULL_BACKUP, namespace)
        trackers = await cluster.list(VM_TRACKER, namespace)
    except NotServedError:
        return PullFacts(enabled=True)
    vmi = await cluster.get(VMI, machine.name, namespace)
    own = next((found for found in backups if found["metadata"]["name"] == pull.name), None)
    claims = await _claims(cluster, namespace, machine)
    return PullFacts(
        enabled=True,
        served=True,
        instance=instance_facts(vmi) if vmi else None,
        claims={name: claim for name, claim in claims.items() if claim},
        unreadable_claims=tuple(name for name, claim in claims.items() if claim is None),
        tracker=_named(trackers, pull.tracker),
        backup=backup_facts(own, await cluster.get(VM_EXPORT, own["metadata"]["name"], namespace)) if own else None,
        rivals=rivals(machine.name, pull.name or "", backups, trackers),
    )


async def observe_tracker(cluster: Cluster, backup: VMBackup) -> PullFacts | None:
    """Only the tracker, for a run that ends."""
    pull = backup.status.pull
    if pull is None or pull.tracker is None:
        return None
    found = await cluster.get(VM_TRACKER, pull.tracker, backup.metadata.namespace)
    return PullFacts(enabled=True, served=True, tracker=tracker_facts(found) if found else None)


async def list_pull_backups(cluster: Cluster, namespace: str | None, labels: Mapping[str, str] | str) -> list[Manifest]:
    """VirtualMachineBackups with these labels; none where KubeVirt does not serve the kind."""
    try:
        return await cluster.list(VM_PULL_BACKUP, namespace, labels=labels)
    except NotServedError:
        return []


async def _claims(cluster: Cluster, namespace: str, machine: MachineFacts) -> dict[str, ClaimFacts | None]:
    return {
        disk.name: await observe_claim(cluster, namespace, disk.claim) if disk.claim else None for disk in machine.disks
    }


def _named(trackers: list[Manifest], name: str | None) -> TrackerFacts | None:
    return next((tracker_facts(found) for found in trackers if found["metadata"]["name"] == name), None)
