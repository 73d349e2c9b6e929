"""The hold of a run on a content that is not its own: of one volume's snapshot, or of a group's."""

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VOLUME_SNAPSHOT_CONTENT, Kind
from safehold.plan.backup.group.steps import HoldGroup, SetGroupPolicy
from safehold.plan.backup.steps import HoldContent, SetPolicy
from safehold.plan.names import MANAGED_BY, ORIGINAL_POLICY, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID, VM


async def hold_content(
    cluster: Cluster, step: HoldContent | HoldGroup, *, kind: Kind = VOLUME_SNAPSHOT_CONTENT
) -> None:
    """Retain the content, and write on it whose hold it is and what to set back, in one guarded write."""
    patch: Manifest = {
        "metadata": {
            "resourceVersion": step.resource_version,
            "labels": dict(step.labels),
            "annotations": {ORIGINAL_POLICY: step.policy},
        },
        "spec": {"deletionPolicy": "Retain"},
    }
    await cluster.merge_patch(kind, step.content, None, patch)


async def set_policy(
    cluster: Cluster, step: SetPolicy | SetGroupPolicy, *, kind: Kind = VOLUME_SNAPSHOT_CONTENT
) -> None:
    """Give a content its policy; with `release` it forgets that it was held."""
    patch: Manifest = {"metadata": {"uid": step.uid}, "spec": {"deletionPolicy": step.policy}}
    if step.release:
        marks = (MANAGED_BY, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID, VM)
        patch["metadata"]["labels"] = dict.fromkeys(marks)
        patch["metadata"]["annotations"] = {ORIGINAL_POLICY: None}
    await cluster.merge_patch(kind, step.content, None, patch)
