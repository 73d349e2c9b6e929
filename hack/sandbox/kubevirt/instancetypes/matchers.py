"""spec.instancetype and spec.preference of a VM: which object each names."""

from __future__ import annotations

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import CLUSTER_INSTANCETYPE, CLUSTER_PREFERENCE, INSTANCETYPE, PREFERENCE, Kind

DEFAULT_KINDS = {"instancetype": CLUSTER_INSTANCETYPE, "preference": CLUSTER_PREFERENCE}
"""Field of the VM's spec → the kind that a matcher without one means."""
_KINDS = {"instancetype": (INSTANCETYPE, CLUSTER_INSTANCETYPE), "preference": (PREFERENCE, CLUSTER_PREFERENCE)}


def matcher_of(vm: Object, field: str) -> Object | None:
    """The matcher in that field, None if the VM has none."""
    found = vm["spec"].get(field)
    return dict(found) if found else None


def kind_of(matcher: Object, field: str) -> Kind | None:
    """The kind that a matcher names, singular or plural in any case; None for one that does not exist."""
    wanted = str(matcher.get("kind") or DEFAULT_KINDS[field].kind).lower()
    return next((kind for kind in _KINDS[field] if wanted in (kind.kind.lower(), kind.plural)), None)


def revision_reference(vm: Object, field: str) -> Object | None:
    """status.instancetypeRef or .preferenceRef, as long as it is about what the spec names now."""
    reference, matcher = (vm.get("status") or {}).get(f"{field}Ref"), matcher_of(vm, field)
    if reference is None or matcher is None or reference.get("name") != matcher.get("name"):
        return None
    chosen = matcher.get("revisionName")
    revision = (reference.get("controllerRevisionRef") or {}).get("name")
    return dict(reference) if revision and chosen in (None, "", revision) else None
