"""OpenAPI documents, as far as kubectl reads them: v3 per group and version (explain, apply, validation) and v2.

Paths carry the parameters by which kubectl finds out whether the server validates fields and runs dry.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sandbox.apiserver import openapi_models
from sandbox.apiserver.builtins import model_of
from sandbox.apiserver.objects import JsonObject, encode_json
from sandbox.apiserver.registry import Registry, Resource, ResourceVersion

_META_PACKAGE = "io.k8s.apimachinery.pkg.apis.meta.v1."
_META_MODELS = frozenset(
    {"V1Condition", "V1LabelSelector", "V1LabelSelectorRequirement", "V1ListMeta", "V1ManagedFieldsEntry"}
    | {"V1ObjectMeta", "V1OwnerReference"}
)
_QUERY = {"in": "query", "schema": {"type": "string", "uniqueItems": True}}


def index(registry: Registry) -> JsonObject:
    """The document of /openapi/v3: group versions and where their documents are."""
    paths = {}
    for group, versions in registry.groups().items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = hashlib.sha256(f"{registry.generation}/{path}".encode()).hexdigest()[:32].upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


class OpenApiDocuments:
    """The documents of one registry, kept as JSON text until the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._texts: dict[tuple[str, str], bytes] = {}

    def version_3(self, group: str, version: str) -> bytes | None:
        """The OpenAPI v3 document of a group version, or None if it is not served."""
        self._refresh()
        if (group, version) not in self._texts:
            resources = self._registry.in_version(group, version)
            if not resources:
                return None
            self._texts[group, version] = encode_json(_document(group, version, resources))
        return self._texts[group, version]

    def version_2(self, encode: Callable[[JsonObject], bytes]) -> bytes:
        """The one OpenAPI v2 document of everything, in the form that `encode` gives it."""
        self._refresh()
        key = ("", encode.__name__)
        if key not in self._texts:
            self._texts[key] = encode(_document_of_everything(self._registry))
        return self._texts[key]

    def _refresh(self) -> None:
        if self._generation != self._registry.generation:
            self._texts.clear()
            self._generation = self._registry.generation


def _document(group: str, version: str, resources: list[Resource]) -> JsonObject:
    schemas: dict[str, JsonObject] = {}
    paths: JsonObject = {}
    for resource in resources:
        served = resource.version(version)
        if served is None:
            continue
        name = _add_schemas(resource, served, schemas)
        paths |= _paths(resource, version, name)
    title = f"{group}/{version}" if group else version
    return {
        "openapi": "3.0.0",
        "info": {"title": f"Kubernetes {title}", "version": "v1.36.2"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _document_of_everything(registry: Registry) -> JsonObject:
    schemas: dict[str, JsonObject] = {}
    for resource in registry:
        for served in resource.versions:
            _add_schemas(resource, served, schemas)
    definitions = _in_version_2(schemas, "#/definitions/")
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": {},
        "definitions": definitions,
    }


def _add_schemas(resource: Resource, served: ResourceVersion, schemas: dict[str, JsonObject]) -> str:
    kind = {"group": resource.group, "kind": resource.kind, "version": served.name}
    if resource.custom:
        name = f"{_reversed(resource.group)}.{served.name}.{resource.kind}"
        schemas[name] = {**_custom_schema(served), "x-kubernetes-group-version-kind": [kind]}
        for model in openapi_models.closure("V1ObjectMeta"):
            schemas.setdefault(_public_name("", model), _renamed("", model))
        return name
    root = model_of(resource.group, resource.kind)
    for model in openapi_models.closure(root):
        schemas.setdefault(_public_name(resource.group, model), _renamed(resource.group, model))
    name = _public_name(resource.group, root)
    schemas[name] = {**schemas[name], "x-kubernetes-group-version-kind": [kind]}
    return name


def _custom_schema(served: ResourceVersion) -> JsonObject:
    schema = served.openapi
    standard: JsonObject = {
        "apiVersion": {
            "type": "string",
            "description": "APIVersion defines the versioned schema of this representation.",
        },
        "kind": {"type": "string", "description": "Kind is a string value representing the REST resource."},
        "metadata": {
            "allOf": [{"$ref": openapi_models.REFERENCE_PREFIX + _META_PACKAGE + "ObjectMeta"}],
            "description": "Standard object's metadata.",
        },
    }
    return {**schema, "type": "object", "properties": {**schema.get("properties", {}), **standard}}


def _reversed(group: str) -> str:
    return ".".join(reversed(group.split(".")))


def _public_name(group: str, model: str) -> str:
    plain = model.removeprefix("Core").removeprefix("Events").removeprefix("Rbac").removeprefix("V1")
    if model in _META_MODELS:
        return _META_PACKAGE + plain
    package = group.partition(".")[0] or "core"
    return f"io.k8s.api.{package}.v1.{plain}"


@lru_cache(maxsize=2048)
def _renamed(group: str, model: str) -> JsonObject:
    renamed: JsonObject = _rename(openapi_models.definition(model), group)
    return renamed


def _rename(schema: Any, group: str) -> Any:
    if isinstance(schema, list):
        return [_rename(item, group) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        model = reference.removeprefix(openapi_models.REFERENCE_PREFIX)
        return {"$ref": openapi_models.REFERENCE_PREFIX + _public_name(group, model)}
    return {key: _rename(item, group) for key, item in schema.items()}


def _in_version_2(schemas: Any, prefix: str) -> Any:
    if isinstance(schemas, list):
        return [_in_version_2(item, prefix) for item in schemas]
    if not isinstance(schemas, dict):
        return schemas
    reference = schemas.get("$ref")
    if isinstance(reference, str):
        return {"$ref": prefix + reference.removeprefix(openapi_models.REFERENCE_PREFIX)}
    if isinstance(schemas.get("allOf"), list) and "$ref" in schemas["allOf"][0]:
        # Version 2 lets a reference have a description beside it.
        return {"description": schemas.get("description", ""), **_in_version_2(schemas["allOf"][0], prefix)}
    return {key: _in_version_2(item, prefix) for key, item in schemas.items()}


def _paths(resource: Resource, version: str, schema: str) -> JsonObject:
    root = f"/apis/{resource.group}/{version}" if resource.group else f"/api/{version}"
    root += "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{root}/{resource.plural}"
    paths: JsonObject = {collection: {"post": _operation(resource, version, "post", schema)}}
    if "get" in resource.verbs:
        paths[collection]["get"] = _operation(resource, version, "list", schema)
        item = {
            "get": _operation(resource, version, "get", schema),
            "put": _operation(resource, version, "put", schema),
            "patch": _operation(resource, version, "patch", schema),
            "delete": _operation(resource, version, "delete", schema),
        }
        paths[f"{collection}/{{name}}"] = item
    return paths


def _operation(resource: Resource, version: str, action: str, schema: str) -> JsonObject:
    reference = {"$ref": openapi_models.REFERENCE_PREFIX + schema}
    operation: JsonObject = {
        "operationId": f"{action}{resource.kind}",
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": resource.group, "kind": resource.kind, "version": version},
    }
    if action in ("post", "put", "patch"):
        names = ("dryRun", "fieldManager", "fieldValidation") + (("force",) if action == "patch" else ())
        operation["parameters"] = [{"name": name, **_QUERY} for name in names]
    elif action == "delete":
        operation["parameters"] = [{"name": name, **_QUERY} for name in ("dryRun", "propagationPolicy")]
    return operation
