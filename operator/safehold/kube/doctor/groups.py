"""Whether volumes can be cut as a group where KubeVirt's own snapshot fails."""

from safehold.kube.backup.group.kinds import GroupKinds, list_classes
from safehold.kube.client import Cluster, Manifest
from safehold.kube.doctor.rights import Right, is_allowed
from safehold.plan.doctor.verdicts import Verdict

_ONE_BY_ONE = "where KubeVirt's snapshot fails, disks are cut one by one"


async def check_groups(cluster: Cluster, *, operator_namespace: str, service_account: str) -> list[Verdict]:
    """The CSI drivers that have a class for it. Without one a fallback is less consistent, and works all the same."""
    found = await list_classes(cluster)
    if found is None or not found[1]:
        what = "the cluster serves no VolumeGroupSnapshots" if found is None else "there is no VolumeGroupSnapshotClass"
        return [_verdict(f"{what}: {_ONE_BY_ONE}")]
    kinds, classes = found
    user = f"system:serviceaccount:{operator_namespace}:{service_account}"
    if missing := await _missing(cluster, kinds, user, operator_namespace):
        return [_verdict(f"ServiceAccount {service_account} may not {', '.join(missing)}: {_ONE_BY_ONE}")]
    drivers = sorted({item["driver"] for item in classes if item["deletionPolicy"] == "Delete"})
    verdicts = [_verdict(f"VolumeGroupSnapshotClasses for {', '.join(drivers)}")] if drivers else []
    return verdicts + _retaining(classes, drivers)


def _retaining(classes: list[Manifest], drivers: list[str]) -> list[Verdict]:
    """Drivers all of whose classes would leave a physical group behind with each run."""
    useless = sorted({item["driver"] for item in classes} - set(drivers))
    if not useless:
        return []
    message = f"every VolumeGroupSnapshotClass of {', '.join(useless)} has the deletionPolicy Retain: {_ONE_BY_ONE}"
    remedy = "create one with the deletionPolicy Delete"
    return [Verdict(check="group snapshots", level="warn", message=message, remedy=remedy)]


async def _missing(cluster: Cluster, kinds: GroupKinds, user: str, namespace: str) -> list[str]:
    needed = [
        Right("create", kinds.snapshot.group, kinds.snapshot.plural),
        Right("delete", kinds.snapshot.group, kinds.snapshot.plural),
        Right("patch", kinds.content.group, kinds.content.plural),
    ]
    return [
        f"{right.verb} {right.resource}" for right in needed if not await is_allowed(cluster, user, right, namespace)
    ]


def _verdict(message: str) -> Verdict:
    return Verdict(check="group snapshots", level="ok", message=message)
