"""PersistentVolumeClaim, PersistentVolume, StorageClass."""

from decimal import Decimal

from sandbox.apiserver.objects import JsonObject, metadata_of
from sandbox.apiserver.rules.kinds import KindRules
from sandbox.apiserver.rules.paths import immutable, one_of, part, set_default, value_at
from sandbox.apiserver.schema import ErrorKind, FieldError
from sandbox.apiserver.schema.quantities import parse_quantity

_CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
_VOLUME_PROTECTION = "kubernetes.io/pv-protection"
_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_STORAGE_REQUEST = "spec.resources.requests.storage"
_VOLUME_SOURCES = frozenset({"csi", "hostPath", "local", "nfs", "iscsi", "fc", "rbd", "cephfs"})


def _add_finalizer(item: JsonObject, finalizer: str) -> None:
    finalizers = metadata_of(item).setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _default_claim(item: JsonObject) -> None:
    spec = part(item, "spec")
    set_default(spec, volumeMode="Filesystem")
    source = spec.get("dataSource")
    if source and not spec.get("dataSourceRef"):
        spec["dataSourceRef"] = dict(source)
    reference = spec.get("dataSourceRef")
    if reference and not source and not reference.get("namespace"):
        spec["dataSource"] = dict(reference)
    part(item, "status").setdefault("phase", "Pending")


def _begin_claim(item: JsonObject) -> None:
    item["status"] = {"phase": "Pending"}
    _add_finalizer(item, _CLAIM_PROTECTION)


def _validate_claim(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    errors = _access_mode_errors(spec, "at least 1 access mode is required")
    errors += one_of(item, "spec.volumeMode", "Block", "Filesystem")
    request = value_at(item, _STORAGE_REQUEST)
    if request is None:
        errors.append(FieldError("spec.resources[storage]", ErrorKind.REQUIRED))
    elif _quantity(request) <= 0:
        detail = "must be greater than zero"
        errors.append(FieldError("spec.resources[storage]", ErrorKind.INVALID, request, detail))
    return errors + (_claim_update_errors(item, old) if old else [])


def _claim_update_errors(item: JsonObject, old: JsonObject) -> list[FieldError]:
    before, after = dict(old["spec"]), dict(item["spec"])
    if not before.get("volumeName"):
        before.pop("volumeName", None)
        after.pop("volumeName", None)
    if before.get("storageClassName") is None:
        # The class may be set once, after the fact (retroactive default).
        before.pop("storageClassName", None)
        after.pop("storageClassName", None)
    errors = []
    if _without_request(before) != _without_request(after):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.append(FieldError("spec", ErrorKind.FORBIDDEN, detail=detail))
    held = value_at(old, "status.capacity.storage")
    wanted, asked = value_at(item, _STORAGE_REQUEST), value_at(old, _STORAGE_REQUEST)
    if wanted is not None and asked is not None and wanted != asked:
        errors += _resize_errors(old, _quantity(wanted), _quantity(asked), _quantity(held or "0"))
    return errors


def _resize_errors(old: JsonObject, wanted: Decimal, asked: Decimal, held: Decimal) -> list[FieldError]:
    if value_at(old, "status.phase") != "Bound":
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [FieldError("spec", ErrorKind.FORBIDDEN, detail=detail)]
    if wanted < asked and wanted <= held:
        detail = "field can not be less than status.capacity"
        return [FieldError(_STORAGE_REQUEST, ErrorKind.FORBIDDEN, detail=detail)]
    return []


def _without_request(spec: JsonObject) -> JsonObject:
    rest = {key: value for key, value in spec.items() if key not in ("resources", "volumeAttributesClassName")}
    resources = {key: value for key, value in (spec.get("resources") or {}).items() if key != "requests"}
    return {**rest, "resources": resources}


def _quantity(text: str) -> Decimal:
    return parse_quantity(str(text))


def _access_mode_errors(spec: JsonObject, missing: str) -> list[FieldError]:
    modes = spec.get("accessModes") or []
    if not modes:
        return [FieldError("spec.accessModes", ErrorKind.REQUIRED, detail=missing)]
    supported = "supported values: " + ", ".join(f'"{mode}"' for mode in sorted(_ACCESS_MODES))
    return [
        FieldError("spec.accessModes", ErrorKind.NOT_SUPPORTED, mode, supported)
        for mode in modes
        if mode not in _ACCESS_MODES
    ]


def _default_volume(item: JsonObject) -> None:
    set_default(part(item, "spec"), persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    part(item, "status").setdefault("phase", "Pending")


def _begin_volume(item: JsonObject) -> None:
    item["status"] = {"phase": "Pending"}
    _add_finalizer(item, _VOLUME_PROTECTION)


def _validate_volume(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    errors = _access_mode_errors(spec, "")
    if not value_at(item, "spec.capacity.storage"):
        errors.append(FieldError("spec.capacity", ErrorKind.REQUIRED))
    if not _VOLUME_SOURCES & spec.keys():
        errors.append(FieldError("spec", ErrorKind.REQUIRED, detail="must specify a volume type"))
    errors += one_of(item, "spec.persistentVolumeReclaimPolicy", "Delete", "Recycle", "Retain")
    errors += one_of(item, "spec.volumeMode", "Block", "Filesystem")
    if old is not None:
        errors += immutable(item, old, "spec.volumeMode")
        if any(spec.get(source) != old["spec"].get(source) for source in _VOLUME_SOURCES):
            detail = "spec.persistentvolumesource is immutable after creation"
            errors.append(FieldError("spec.persistentvolumesource", ErrorKind.FORBIDDEN, detail=detail))
    return errors


def _default_class(item: JsonObject) -> None:
    set_default(item, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _validate_class(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    errors = one_of(item, "reclaimPolicy", "Delete", "Retain")
    errors += one_of(item, "volumeBindingMode", "Immediate", "WaitForFirstConsumer")
    if not item.get("provisioner"):
        errors.append(FieldError("provisioner", ErrorKind.REQUIRED))
    if old is not None:
        for name in ("parameters", "provisioner", "reclaimPolicy"):
            if item.get(name) != old.get(name):
                detail = f"updates to {name} are forbidden."
                errors.append(FieldError(name, ErrorKind.FORBIDDEN, detail=detail))
        errors += immutable(item, old, "volumeBindingMode")
    return errors


CLAIM = KindRules(default=_default_claim, begin=_begin_claim, validate=_validate_claim)
VOLUME = KindRules(default=_default_volume, begin=_begin_volume, validate=_validate_volume)
STORAGE_CLASS = KindRules(default=_default_class, validate=_validate_class)
