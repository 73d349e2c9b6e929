"""With which VolumeSnapshotClass a volume is cut where KubeVirt does not cut it: the one that KubeVirt would take."""

from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.facts import FallbackFacts, SnapshotClassFacts
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason


def choose_class(claim: ClaimFacts, facts: FallbackFacts) -> str | Refusal:
    """The class that CDI's StorageProfile names, else the driver's only one, else its default one."""
    preferred = facts.preferred_classes.get(claim.storage_class or "")
    if preferred is not None:
        return _named(preferred, claim, facts.classes)
    fitting = [found for found in facts.classes if found.driver == claim.driver]
    chosen = fitting if len(fitting) == 1 else [found for found in fitting if found.default]
    if len(chosen) == 1:
        return chosen[0].name
    named = f" ({', '.join(found.name for found in fitting)})" if fitting else ""
    message = (
        f"driver {claim.driver} has {len(fitting)} VolumeSnapshotClasses{named}, and {len(chosen)} of them are marked "
        "as default; mark one with the annotation snapshot.storage.kubernetes.io/is-default-class=true"
    )
    return Refusal(Reason.NOT_SNAPSHOTTABLE, message)


def _named(name: str, claim: ClaimFacts, classes: tuple[SnapshotClassFacts, ...]) -> str | Refusal:
    found = next((item for item in classes if item.name == name), None)
    if found is not None and found.driver == claim.driver:
        return name
    what = "which does not exist" if found is None else f"which is of driver {found.driver} and not of {claim.driver}"
    message = (
        f"StorageProfile {claim.storage_class} names VolumeSnapshotClass {name}, {what}; "
        "correct its spec.snapshotClass, or take it away"
    )
    return Refusal(Reason.NOT_SNAPSHOTTABLE, message)
