"""Kubernetes Events, and lines of the log: one for each transition that people should hear about."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from safehold.api.base import API_VERSION, Resource
from safehold.api.vmbackup import VMBackup, VMBackupStatus
from safehold.api.vmrestore import VMRestore, VMRestoreStatus
from safehold.errors import ConflictError, ForbiddenError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import EVENT
from safehold.plan.names import event_name

logger = logging.getLogger(__name__)

COMPONENT = "safehold"
MESSAGE_LIMIT = 1024
"""What the API server accepts."""


async def emit(cluster: Cluster, about: Resource, *, reason: str, message: str, warning: bool, now: datetime) -> None:
    """Tell people about `about`, once per transition. In a namespace that ends nothing can be told, which is fine."""
    metadata = about.metadata
    involved = {
        "apiVersion": API_VERSION,
        "kind": about.kind,
        "name": metadata.name,
        "uid": metadata.uid,
        **({"namespace": metadata.namespace} if metadata.namespace else {}),
    }
    await emit_about(cluster, involved, reason=reason, message=message, warning=warning, now=now)


async def tell_phase(
    cluster: Cluster, about: VMBackup | VMRestore, status: VMBackupStatus | VMRestoreStatus, now: datetime
) -> None:
    """Tell people which phase a run has come to, in the words of its condition Ready."""
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    warning = status.failure is not None
    await emit(cluster, about, reason=status.phase or "", message=ready.message, warning=warning, now=now)


async def emit_about(
    cluster: Cluster, involved: Mapping[str, str], *, reason: str, message: str, warning: bool, now: datetime
) -> None:
    """The same about any object, by its reference: apiVersion, kind, name, uid and, if it has one, namespace."""
    kind, name, namespace = involved["kind"], involved["name"], involved.get("namespace")
    level = logging.WARNING if warning else logging.INFO
    logger.log(level, "%s %s/%s: %s: %s", kind, namespace or "-", name, reason, message)
    moment = now.isoformat().replace("+00:00", "Z")
    event: Manifest = {
        "metadata": {"name": event_name(name, involved["uid"], reason, moment), "namespace": namespace or "default"},
        "involvedObject": dict(involved),
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "type": "Warning" if warning else "Normal",
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    # A conflict means that it was told already; the controller has no right to read events back.
    with suppress(ForbiddenError, ConflictError):
        await cluster.create(EVENT, event)
