"""VMs that no policy backs up, from the rosters of VMs and Namespaces and a list of the policies."""

from safehold.api.policy import BackupPolicy, ClusterBackupPolicy
from safehold.kube.client import Cluster
from safehold.kube.fleet import Fleet
from safehold.kube.kinds import BACKUP_POLICY, CLUSTER_BACKUP_POLICY
from safehold.plan.policy.coverage import Uncovered, uncovered
from safehold.plan.policy.facts import AnyPolicy


async def find_uncovered(cluster: Cluster, fleet: Fleet) -> list[Uncovered]:
    """All of a cluster, by namespace and name."""
    policies: list[AnyPolicy] = [BackupPolicy.model_validate(found) for found in await cluster.list(BACKUP_POLICY)]
    policies += [ClusterBackupPolicy.model_validate(found) for found in await cluster.list(CLUSTER_BACKUP_POLICY)]
    return uncovered(policies, await fleet.machines.members(), await fleet.namespaces.members())
