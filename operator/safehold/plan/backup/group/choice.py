"""Whether a VM's volumes can be cut as a group, and with which class."""

from collections.abc import Sequence

from safehold.api.fallback import FallbackGroup
from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.group.facts import GroupClassFacts, GroupOffer
from safehold.plan.names import own_group_name


def choose_group(
    claims: Sequence[ClaimFacts], offer: GroupOffer, *, backup: str, backup_uid: str
) -> FallbackGroup | str | None:
    """The group to take; why there can be none, in words; or None for a single volume, which needs none."""
    if len(claims) < 2:
        return None
    if offer.obstacle:
        return offer.obstacle
    drivers = sorted({claim.driver for claim in claims})
    if len(drivers) > 1:
        return f"the volumes are of several CSI drivers: {', '.join(drivers)}"
    for claim in claims:
        if claim.mark not in (None, backup_uid):
            return f"claim {claim.name} is marked by another group ({claim.mark})"
    found = _choose_class(drivers[0], offer.classes)
    if isinstance(found, str):
        return found
    chosen, why = found
    return FallbackGroup(name=own_group_name(backup, backup_uid), class_name=chosen.name, class_reason=why)


def _choose_class(driver: str, classes: tuple[GroupClassFacts, ...]) -> tuple[GroupClassFacts, str] | str:
    """The default class, else the only one, else the first by name. One that retains would leave a group per run."""
    of_driver = sorted((found for found in classes if found.driver == driver), key=lambda found: found.name)
    fitting = [found for found in of_driver if found.policy == "Delete"]
    if not of_driver:
        return f"CSI driver {driver} has no VolumeGroupSnapshotClass"
    if not fitting:
        return f"every VolumeGroupSnapshotClass of CSI driver {driver} has the deletionPolicy Retain"
    defaults = [found for found in fitting if found.default]
    if len(defaults) == 1:
        return defaults[0], f"the default class of CSI driver {driver}"
    if len(fitting) == 1:
        return fitting[0], f"the only class of CSI driver {driver} that deletes what it made"
    among = "several default classes" if defaults else f"{len(fitting)} classes"
    return (defaults or fitting)[0], f"the first by name of {among} of CSI driver {driver}"
