"""Whether what Safehold stands on is there: its own definitions and controller, KubeVirt, CSI snapshots, targets."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from safehold.api.kinds import KINDS, KindDefinition
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    BACKUP_TARGET,
    CLUSTER_BACKUP_TARGET,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    KUBEVIRT,
    VMI,
    VOLUME_SNAPSHOT_CLASS,
)
from safehold.kube.virtualmachines import FROZEN, freeze_status
from safehold.plan.doctor.verdicts import Verdict

_INSTALL_CRDS = "apply crds/ of this release: Helm never upgrades definitions by itself"
_GATES_ON_SINCE = (1, 9)
"""From this version of KubeVirt on a gate of level Beta, as Snapshot is, is on unless it is disabled."""


async def check_definitions(cluster: Cluster) -> list[Verdict]:
    """Whether all kinds are installed, with every field that this version knows."""
    installed = {found["metadata"]["name"]: found for found in await cluster.list(CUSTOM_RESOURCE_DEFINITION)}
    problems = [problem for kind in KINDS if (problem := _definition_problem(kind, installed))]
    if problems:
        return [_verdict("definitions", "fail", "; ".join(problems), _INSTALL_CRDS)]
    return [_verdict("definitions", "ok", f"all {len(KINDS)} kinds are installed, in this version")]


async def check_controller(cluster: Cluster, namespace: str) -> list[Verdict]:
    """Whether the controller runs."""
    labels = {"app.kubernetes.io/name": "safehold"}
    found = await cluster.list(DEPLOYMENT, namespace, labels=labels)
    if not found:
        message = f"no Deployment with the label app.kubernetes.io/name=safehold in namespace {namespace}"
        return [_verdict("controller", "fail", message, "install the chart, or name its namespace with --namespace")]
    ready = sum(int((item.get("status") or {}).get("readyReplicas") or 0) for item in found)
    if not ready:
        remedy = f"see: kubectl -n {namespace} describe deployment,pod -l app.kubernetes.io/name=safehold"
        return [_verdict("controller", "fail", "the controller does not run", remedy)]
    return [_verdict("controller", "ok", f"runs in namespace {namespace}")]


async def check_kubevirt(cluster: Cluster) -> list[Verdict]:
    """Whether KubeVirt is deployed and may take snapshots."""
    found = await cluster.list(KUBEVIRT)
    if not found:
        return [_verdict("kubevirt", "fail", "there is no KubeVirt object", "install KubeVirt")]
    status, name = found[0].get("status") or {}, found[0]["metadata"]["name"]
    version = str(status.get("observedKubeVirtVersion") or "")
    verdicts = [_verdict("kubevirt", "ok", f"KubeVirt {name} {version}".rstrip())]
    phase = status.get("phase")
    if phase not in (None, "Deployed"):
        verdicts = [_verdict("kubevirt", "fail", f"KubeVirt {name} is in phase {phase}", "wait for it, or repair it")]
    return [*verdicts, _snapshot_gate(found[0], version)]


async def check_snapshot_classes(cluster: Cluster) -> list[Verdict]:
    """Whether CSI snapshots are installed at all."""
    classes = await cluster.list(VOLUME_SNAPSHOT_CLASS)
    if not classes:
        remedy = "create a VolumeSnapshotClass for each CSI driver whose volumes VMs use"
        return [_verdict("csi snapshots", "fail", "there is no VolumeSnapshotClass", remedy)]
    drivers = sorted({found["driver"] for found in classes})
    return [_verdict("csi snapshots", "ok", f"VolumeSnapshotClasses for {', '.join(drivers)}")]


async def check_targets(cluster: Cluster) -> list[Verdict]:
    """Each target's own verdict on itself."""
    found = [*await cluster.list(CLUSTER_BACKUP_TARGET), *await cluster.list(BACKUP_TARGET)]
    if not found:
        return [_verdict("targets", "warn", "there is no target, so nothing can be backed up", "see docs/targets.md")]
    return [_target(item) for item in found]


async def check_guests(cluster: Cluster) -> list[Verdict]:
    """Whether a guest is frozen now: for more than a moment that is a guest that cannot write."""
    frozen = [_called(vmi) for vmi in await cluster.list(VMI) if freeze_status(vmi) == FROZEN]
    if not frozen:
        return [_verdict("guests", "ok", "no guest is frozen")]
    remedy = "look again in a minute; if it is still frozen: virtctl unfreeze"
    return [_verdict("guests", "warn", f"frozen now: {', '.join(frozen)}", remedy)]


def _definition_problem(kind: KindDefinition, installed: dict[str, Manifest]) -> str | None:
    found = installed.get(kind.definition_name)
    if found is None:
        return f"{kind.definition_name} is not installed"
    versions = {version["name"]: version for version in found["spec"]["versions"] if version.get("served")}
    served: Any = versions.get("v1alpha1")
    if served is None:
        return f"{kind.definition_name} does not serve v1alpha1"
    properties = served["schema"]["openAPIV3Schema"].get("properties") or {}
    missing = [
        f"{part}.{field}"
        for part in ("spec", "status")
        for field in _fields(kind.model, part)
        if field not in ((properties.get(part) or {}).get("properties") or {})
    ]
    return f"{kind.definition_name} is of another version: it has no {', '.join(missing)}" if missing else None


def _fields(model: type[BaseModel], part: str) -> Iterable[str]:
    annotation = model.model_fields[part].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, BaseModel)
    return [field.alias or name for name, field in annotation.model_fields.items()]


def _snapshot_gate(kubevirt: Manifest, version: str) -> Verdict:
    developer = ((kubevirt.get("spec") or {}).get("configuration") or {}).get("developerConfiguration") or {}
    name = "snapshot gate"
    if "Snapshot" in (developer.get("featureGates") or []):
        return _verdict(name, "ok", "the feature gate Snapshot is enabled")
    if "Snapshot" in (developer.get("disabledFeatureGates") or []):
        return _verdict(name, "fail", "the feature gate Snapshot is disabled", "take it out of disabledFeatureGates")
    numbers = tuple(int(part) for part in version.removeprefix("v").split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < _GATES_ON_SINCE:
        remedy = "add it to spec.configuration.developerConfiguration.featureGates of the KubeVirt object"
        return _verdict(name, "fail", f"KubeVirt {version} needs the feature gate Snapshot, which is not set", remedy)
    return _verdict(name, "ok", "the feature gate Snapshot is on by default")


def _target(found: Manifest) -> Verdict:
    called = f"{found['kind']} {_called(found)}"
    conditions = (found.get("status") or {}).get("conditions") or []
    ready: Manifest = next((item for item in conditions if item["type"] == "Ready"), {})
    if ready.get("status") == "True":
        return _verdict("targets", "ok", f"{called} is ready")
    said = ready.get("message") or "nobody has looked at it yet"
    return _verdict("targets", "fail", f"{called}: {said}", f"docs/reasons.md explains {ready.get('reason') or 'it'}")


def _called(found: Manifest) -> str:
    metadata = found["metadata"]
    return "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)


def _verdict(check: str, level: Any, message: str, remedy: str = "") -> Verdict:
    return Verdict(check=check, level=level, message=message, remedy=remedy)
