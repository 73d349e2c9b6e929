"""Where the kinds that a restore may create are served; which ones may be, `plan.tenancy` says."""

from collections.abc import Mapping

from safehold.kube.kinds import (
    CLUSTER_INSTANCETYPE,
    CLUSTER_PREFERENCE,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    INSTANCETYPE,
    NETWORK_ATTACHMENT,
    PREFERENCE,
    SECRET,
    SERVICE_ACCOUNT,
    VM,
    Kind,
)

RESTORABLE: Mapping[str, Kind] = {
    kind.kind: kind
    for kind in (
        VM,
        CONFIG_MAP,
        SECRET,
        SERVICE_ACCOUNT,
        CONTROLLER_REVISION,
        NETWORK_ATTACHMENT,
        INSTANCETYPE,
        PREFERENCE,
    )
}
"""By the name in manifests."""
SHARED: Mapping[str, Kind] = {kind.kind: kind for kind in (CLUSTER_INSTANCETYPE, CLUSTER_PREFERENCE)}
"""Cluster-wide kinds of `plan.restore.manifest.NOT_CREATED`, of which a restore only says whether they exist."""
