"""A VM out of a restore point: what of its manifest, and of the objects that it depends on, is created again.

A recalled manifest is untrusted input. Only kinds of the allow-list pass, only objects that were in the VM's own
namespace, and all of them are written into the restore's namespace.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from safehold.api.restore_options import Identity, RestorePatch
from safehold.plan.names import RESTORED_BY, restored_revision_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import ObjectKey
from safehold.plan.restore.machine.data_volumes import adopting_templates
from safehold.plan.restore.machine.identity import clear_identity
from safehold.plan.restore.machine.mappings import is_mapped, map_networks
from safehold.plan.restore.machine.patches import patch_objects
from safehold.plan.tenancy import refuse_object
from safehold.reasons import Reason

Manifest = dict[str, Any]

DROPPED_ANNOTATION_PREFIXES = (
    "restore.kubevirt.io/",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubevirt.io/latest-observed-api-version",
    "kubevirt.io/storage-observed-api-version",
    "kubemacpool.io/",
    "deployment.kubernetes.io/",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "meta.helm.sh/",
)
"""What controllers noted about the old object; and how GitOps tools would take the new one for theirs and prune it."""
DROPPED_LABEL_PREFIXES = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "restore.kubevirt.io/",
    "safehold.dev/",
)
NOT_CREATED = frozenset({"VirtualMachineClusterInstancetype", "VirtualMachineClusterPreference"})
"""Cluster-wide kinds that a point may hold for people to read; the VM's revisions hold what it needs of them."""
RUNTIME_LABELS = frozenset(
    {
        "kubevirt.io/created-by",
        "kubevirt.io/nodeName",
        "kubevirt.io/migrationJobUID",
        "kubevirt.io/migrationTargetNodeName",
        "kubevirt.io/outdatedLauncherImage",
        "kubevirt.io/schedulable",
    }
)
"""Labels of running instances, which have no business in a template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMachine:
    """What the restored VM is to be."""

    namespace: str
    vm: str
    source_namespace: str
    source_vm: str
    restore_uid: str
    claims: Mapping[str, str]
    """VM volume name → claim that holds it now."""
    left_out: Sequence[str] = ()
    """Volumes that the VM comes back without, since they were not asked for."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """`namespace/name` of a network → the one in its place."""
    identity: Identity | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels of the VM."""
    patches: Sequence[RestorePatch] = ()
    keeps_templates: bool = False
    """Whether DataVolumes of the claims' names adopt them, as Git has it; else the VM names the claims themselves."""
    has_state: bool = False
    """Whether its TPM and EFI state comes back, which is filed under the firmware id."""

    @property
    def is_copy(self) -> bool:
        """Whether the original may exist beside it. Under its old name and namespace it is the same machine again."""
        return (self.namespace, self.vm) != (self.source_namespace, self.source_vm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Manifests ready to be created. Secrets among them: never shown."""

    vm: Manifest = field(repr=False)
    """Halted, whatever it was."""
    dependencies: tuple[Manifest, ...] = field(repr=False)
    run_strategy: str
    """How the VM was run when it was backed up."""
    shared: tuple[ObjectKey, ...] = ()
    """Cluster-wide objects that the VM was sized by. A restore never creates them."""


def rebuild(objects: Sequence[Mapping[str, Any]], wanted: NewMachine) -> Machine | Refusal:
    """Turn a point's objects into those to create."""
    shared = tuple(
        (str(manifest["kind"]), str((manifest.get("metadata") or {}).get("name")))
        for manifest in objects
        if manifest.get("kind") in NOT_CREATED
    )
    objects = [manifest for manifest in objects if not _stays_behind(manifest, wanted)]
    for manifest in objects:
        refusal = _refuse(manifest, wanted)
        if refusal is not None:
            return refusal
    machines = [manifest for manifest in objects if manifest["kind"] == "VirtualMachine"]
    if len(machines) != 1 or machines[0]["metadata"].get("name") != wanted.source_vm:
        message = f"the restore point does not hold exactly the manifest of VM {wanted.source_vm}; restore InPlace"
        return Refusal(Reason.DAMAGED, message)
    others = [manifest for manifest in objects if manifest["kind"] != "VirtualMachine"]
    revisions = {
        str(manifest["metadata"]["name"]): restored_revision_name(
            wanted.vm, str(manifest["metadata"]["name"]), wanted.restore_uid
        )
        for manifest in others
        if manifest["kind"] == "ControllerRevision"
    }
    vm = _virtual_machine(machines[0], wanted, revisions)
    if isinstance(vm, Refusal):
        return vm
    made = patch_objects([vm, *(_dependency(manifest, wanted, revisions) for manifest in others)], wanted.patches)
    if isinstance(made, Refusal):
        return made
    return Machine(
        vm=made[0],
        dependencies=tuple(made[1:]),
        run_strategy=run_strategy(machines[0].get("spec") or {}),
        shared=shared,
    )


def run_strategy(spec: Mapping[str, Any]) -> str:
    """`spec.runStrategy`, or what the older `spec.running` means."""
    if "running" in spec:
        return "Always" if spec["running"] else "Halted"
    return str(spec.get("runStrategy") or "Halted")


def key(manifest: Mapping[str, Any]) -> ObjectKey:
    """By what an object of the restore's namespace is found."""
    return str(manifest["kind"]), str(manifest["metadata"]["name"])


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two objects hold the same, metadata aside. A ServiceAccount holds nothing of ours."""
    if one.get("kind") == "ServiceAccount":
        return True
    return _content(one) == _content(other)


def _content(manifest: Mapping[str, Any]) -> Manifest:
    aside = ("apiVersion", "kind", "metadata", "status", "immutable")
    return {key: value for key, value in manifest.items() if key not in aside and value not in (None, {}, [])}


def _stays_behind(manifest: Mapping[str, Any], wanted: NewMachine) -> bool:
    return manifest.get("kind") in NOT_CREATED or is_mapped(manifest, wanted.networks, wanted.source_namespace)


def _refuse(manifest: Mapping[str, Any], wanted: NewMachine) -> Refusal | None:
    metadata = manifest.get("metadata") or {}
    called = f"{manifest.get('kind')} {metadata.get('name')}"
    why = refuse_object(manifest)
    if why is None and not (manifest.get("apiVersion") and metadata.get("name")):
        why = "it is no whole object"
    if why is None and metadata.get("namespace", wanted.source_namespace) != wanted.source_namespace:
        why = f"it is of namespace {metadata['namespace']}, not of the VM's"
    if why is None:
        return None
    message = f"the restore point holds {called}, which a restore does not create: {why}"
    return Refusal(Reason.RESTORE_NOT_ALLOWED, message[:1024])


def _metadata(manifest: Mapping[str, Any], wanted: NewMachine, name: str) -> Manifest:
    before = manifest.get("metadata") or {}
    labels = _without(before.get("labels"), DROPPED_LABEL_PREFIXES)
    annotations = _without(before.get("annotations"), DROPPED_ANNOTATION_PREFIXES)
    return {
        "name": name,
        "namespace": wanted.namespace,
        "labels": {**labels, RESTORED_BY: wanted.restore_uid},
        **({"annotations": annotations} if annotations else {}),
    }


def _without(pairs: Mapping[str, str] | None, prefixes: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in (pairs or {}).items() if not key.startswith(prefixes)}


def _dependency(manifest: Mapping[str, Any], wanted: NewMachine, revisions: Mapping[str, str]) -> Manifest:
    name = str(manifest["metadata"]["name"])
    if manifest["kind"] == "ControllerRevision":
        name = revisions[name]
    made: Manifest = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}
    made["metadata"] = _metadata(manifest, wanted, name)
    if manifest["kind"] != "ServiceAccount":  # its token and pull Secrets are the old cluster's
        made |= deepcopy({key: value for key, value in manifest.items() if key not in (*made, "status")})
    return made


def _virtual_machine(
    manifest: Mapping[str, Any], wanted: NewMachine, revisions: Mapping[str, str]
) -> Manifest | Refusal:
    spec = deepcopy(dict(manifest.get("spec") or {}))
    for dropped in ("running", "runStrategy"):
        spec.pop(dropped, None)
    templates = adopting_templates(spec.pop("dataVolumeTemplates", None) or [], wanted.claims.values())
    if wanted.keeps_templates and templates:
        spec["dataVolumeTemplates"] = templates
    template = spec.setdefault("template", {})
    instance = template.setdefault("spec", {})
    adopted = {template["metadata"]["name"] for template in spec.get("dataVolumeTemplates") or []}
    volumes = _volumes(instance.get("volumes") or [], wanted, adopted)
    if isinstance(volumes, Refusal):
        return volumes
    instance["volumes"] = volumes
    instance.pop("utilityVolumes", None)
    _drop_devices(instance, wanted.left_out)
    map_networks(instance, wanted.networks, wanted.source_namespace)
    _clean_template(template)
    for matcher in ("instancetype", "preference"):
        _point_to_revision(spec, matcher, revisions)
    clear_identity(instance, wanted.identity, is_copy=wanted.is_copy, has_state=wanted.has_state)
    metadata = _metadata(manifest, wanted, wanted.vm)
    metadata["labels"] = {**metadata["labels"], **wanted.labels}
    return {
        "apiVersion": manifest["apiVersion"],
        "kind": "VirtualMachine",
        "metadata": metadata,
        "spec": {"runStrategy": "Halted", **spec},
    }


def _volumes(
    volumes: Sequence[Mapping[str, Any]], wanted: NewMachine, adopted: Collection[str]
) -> list[Manifest] | Refusal:
    """Volumes that the point holds become claims; a memory dump is none of the machine's disks.

    One that an adopting DataVolume takes over stays a DataVolume.
    """
    kept: list[Manifest] = []
    for volume in volumes:
        name = str(volume.get("name"))
        if "memoryDump" in volume or name in wanted.left_out:
            continue
        if (volume.get("dataVolume") or {}).get("name") in adopted:
            kept.append(dict(volume))
            continue
        if name in wanted.claims:
            options = {"hotpluggable": True} if _is_hotpluggable(volume) else {}
            kept.append({"name": name, "persistentVolumeClaim": {"claimName": wanted.claims[name], **options}})
        elif "persistentVolumeClaim" in volume or "dataVolume" in volume:
            message = f"the VM's volume {name} is not in the restore point; choose another point"
            return Refusal(Reason.VOLUME_MISMATCH, message)
        else:
            kept.append(dict(volume))
    missing = sorted(set(wanted.claims) - {str(volume["name"]) for volume in kept})
    if missing:
        message = f"the restored VM would have no use for volume {', '.join(missing)} of the restore point"
        return Refusal(Reason.VOLUME_MISMATCH, message)
    return kept


def _is_hotpluggable(volume: Mapping[str, Any]) -> bool:
    source = volume.get("persistentVolumeClaim") or volume.get("dataVolume") or {}
    return bool(source.get("hotpluggable"))


def _clean_template(template: Manifest) -> None:
    metadata = template.get("metadata")
    if not metadata:
        return
    metadata.pop("creationTimestamp", None)
    if labels := metadata.get("labels"):
        metadata["labels"] = {key: value for key, value in labels.items() if key not in RUNTIME_LABELS}


def _point_to_revision(spec: Manifest, matcher: str, revisions: Mapping[str, str]) -> None:
    """Name the restored revision; without one the VM takes the latest version of its type."""
    chosen = spec.get(matcher)
    if not chosen:
        return
    before = chosen.pop("revisionName", None)
    if before in revisions:
        chosen["revisionName"] = revisions[before]


def _drop_devices(instance: Manifest, names: Sequence[str]) -> None:
    """Disks and file systems of volumes that the VM comes back without."""
    devices = (instance.get("domain") or {}).get("devices") or {}
    for kind in ("disks", "filesystems"):
        if kind in devices:
            devices[kind] = [device for device in devices[kind] if device.get("name") not in names]
