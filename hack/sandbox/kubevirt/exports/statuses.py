"""VirtualMachineExport.status, in the words that were recorded."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sandbox.cluster.client import Object, Objects, timestamp
from sandbox.kubevirt.conditions import with_condition
from sandbox.kubevirt.durations import parse_duration
from sandbox.kubevirt.exports.source import Source, formats_of

DEFAULT_TTL_SECONDS = 7200.0


def expiry(export: Object) -> datetime:
    """When the export ends: its creation and its ttlDuration, by default two hours."""
    text = export["spec"].get("ttlDuration")
    seconds = parse_duration(text) if text else DEFAULT_TTL_SECONDS
    return datetime.fromisoformat(export["metadata"]["creationTimestamp"]) + timedelta(seconds=seconds)


def export_status(
    export: Object, source: Source, pod: Object | None, links: Object | None, token_secret: str | None, now: datetime
) -> Object:
    """The whole status. `links` are the internal ones once a server answers; `token_secret` is the Secret's name."""
    before = export.get("status") or {}
    ready = _ready(source, pod, serves=links is not None)
    conditions: Objects = before.get("conditions") or []
    for condition in (ready, *source.conditions):
        conditions = with_condition(conditions, condition, timestamp(now))
    serves = links is not None and ready["status"] == "True"
    status: Object = {
        "phase": "Ready" if serves else source.phase,
        "conditions": conditions,
        "links": {"internal": links} if serves else {},
        "serviceName": service_name(export),
        "ttlExpirationTime": timestamp(expiry(export)),
    }
    if token_secret:
        status["tokenSecretRef"] = token_secret
    if source.machine_name is not None:
        status["virtualMachineName"] = source.machine_name
    return status


def internal_links(base: str, authority: str, source: Source) -> Object:
    """status.links.internal of a server at `base`, which is a URL without a path."""
    links: Object = {"cert": authority}
    manifests = [{"type": "auth-header-secret", "url": f"{base}/internal/manifests/secret"}]
    if source.machine is not None:
        manifests.insert(0, {"type": "all", "url": f"{base}/internal/manifests/all"})
    links["manifests"] = manifests
    if source.claims:
        links["volumes"] = [
            {
                "name": name,
                "formats": [
                    {"format": kind, "url": f"{base}/volumes/{claim['metadata']['name']}/{path}"}
                    for kind, path in formats_of(claim).items()
                ],
            }
            for name, claim in source.claims.items()
        ]
    if source.volumes:
        links["backups"] = [
            {
                "name": name,
                "endpoints": [{"endpoint": kind, "url": f"{base}/exports/{name}/{kind}"} for kind in ("data", "map")],
            }
            for name in source.volumes
        ]
    return links


def service_name(export: Object) -> str:
    """Of the Service and the pod: shortened, with a digest, where a name of 63 characters would not do."""
    name = f"virt-export-{export['metadata']['name']}"
    if len(name) <= 63:
        return name
    digest = hashlib.sha256(export["metadata"]["uid"].encode()).hexdigest()[:8]
    return f"{name[:54]}-{digest}"


def _ready(source: Source, pod: Object | None, *, serves: bool) -> Object:
    if source.refusal is not None:
        return source.refusal
    if source.in_backup is not None:
        return source.in_backup
    phase = (pod or {}).get("status", {}).get("phase")
    if serves:
        return {"type": "Ready", "status": "True", "reason": "PodReady"}
    words = {None: "Initializing", "Pending": "PodPending", "Succeeded": "PodCompleted"}
    return {"type": "Ready", "status": "False", "reason": words.get(phase, "Unknown")}
