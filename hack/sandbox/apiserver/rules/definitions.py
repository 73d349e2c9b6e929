"""CustomResourceDefinition and APIService."""

from sandbox.apiserver import names
from sandbox.apiserver.objects import JsonObject, metadata_of, name_of
from sandbox.apiserver.rules.kinds import KindRules
from sandbox.apiserver.rules.paths import immutable, part, set_default, value_at
from sandbox.apiserver.schema import ErrorKind, FieldError, check_definition

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
"""Holds a CRD until its objects are gone."""


def _default_definition(item: JsonObject) -> None:
    spec = part(item, "spec")
    set_default(part(spec, "names"), singular=str(value_at(item, "spec.names.kind") or "").lower())
    set_default(spec["names"], listKind=f"{spec['names'].get('kind', '')}List")
    set_default(part(spec, "conversion"), strategy="None")


def _begin_definition(item: JsonObject) -> None:
    finalizers = metadata_of(item).setdefault("finalizers", [])
    if CLEANUP_FINALIZER not in finalizers:
        finalizers.append(CLEANUP_FINALIZER)
    item["status"] = {}


def _validate_definition(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    spec = item["spec"]
    group, plural = spec.get("group", ""), value_at(item, "spec.names.plural") or ""
    errors = []
    if name_of(item) != f"{plural}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        errors.append(FieldError("metadata.name", ErrorKind.INVALID, name_of(item), detail))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        detail = 'supported values: "Cluster", "Namespaced"'
        errors.append(FieldError("spec.scope", ErrorKind.NOT_SUPPORTED, spec.get("scope"), detail))
    if len([version for version in spec.get("versions") or () if version.get("storage")]) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(FieldError("spec.versions", ErrorKind.INVALID, detail=detail))
    if value_at(item, "spec.conversion.strategy") != "None":
        detail = "this server converts by strategy None only"
        errors.append(FieldError("spec.conversion.strategy", ErrorKind.FORBIDDEN, detail=detail))
    for field in ("plural", "singular"):
        name = spec["names"].get(field) or ""
        if fault := names.dns_1035_fault(name):
            errors.append(FieldError(f"spec.names.{field}", ErrorKind.INVALID, name, fault))
    errors += immutable(item, old, "spec.scope", "spec.group", "spec.names.kind", "spec.names.plural")
    return errors + check_definition(item)


def _default_api_service(item: JsonObject) -> None:
    part(item, "status")


def _validate_api_service(item: JsonObject, _old: JsonObject | None) -> list[FieldError]:
    spec = item.get("spec") or {}
    expected = f"{spec.get('version', '')}.{spec.get('group', '')}"
    if name_of(item) == expected:
        return []
    return [
        FieldError(
            "metadata.name", ErrorKind.INVALID, name_of(item), f'must be `spec.version+"."+spec.group`: "{expected}"'
        )
    ]


DEFINITION = KindRules(default=_default_definition, begin=_begin_definition, validate=_validate_definition)
API_SERVICE = KindRules(default=_default_api_service, validate=_validate_api_service)
