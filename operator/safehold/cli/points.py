"""Which restore point a command means."""

from safehold.engine.names import PointName
from safehold.engine.points.manifest import Manifest, Owner
from safehold.engine.repository import Domain
from safehold.errors import PointError, UsageError
from safehold.reasons import Reason


def owner_of(vm: str) -> Owner:
    """Disks without a cluster belong to the name that was given; an operator's points are of uids, so never collide."""
    return Owner(cluster="", namespace_uid="", vm_uid=vm, namespace="", vm=vm)


def find_point(domain: Domain, restore_point: str, vm: str | None) -> Manifest:
    """The point with this id, or the `latest` of a VM; PointError if it does not exist or is another VM's."""
    if restore_point != "latest":
        manifest = domain.points.read(PointName.of_id(restore_point))
        if vm is not None and manifest.owner.vm != vm:
            raise PointError(
                f"The restore point {restore_point} belongs to another VM",
                expected=vm,
                found=manifest.owner.vm,
                reason=Reason.POINT_NOT_YOURS,
            )
        return manifest
    if vm is None:
        raise UsageError("The latest point of which VM", remedy="give --vm")
    latest = domain.points.latest(owner_of(vm))
    if latest is None:
        raise PointError(f"There is no restore point of the VM {vm}", remedy="check --vm and --key-domain")
    return latest
