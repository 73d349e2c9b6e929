"""CustomResourceDefinitions: the resources that they add, their conditions, and what happens when they go.

A real server accepts names and establishes a definition a moment after its creation, in writes of its own; here that is
part of the create, so the resource is served when the create is answered.
"""

from functools import partial

from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.objects import JsonObject, format_time, is_deleting
from sandbox.apiserver.registry import PrinterColumn, Registry, Resource, ResourceVersion, ScalePaths
from sandbox.apiserver.schema import CompiledSchema
from sandbox.apiserver.store import Store, StoreEvent

GROUP = "apiextensions.k8s.io"
PLURAL = "customresourcedefinitions"
_AGE = PrinterColumn("Age", "date", ".metadata.creationTimestamp")
_READ_WRITE = ("get", "patch", "update")


def resource_of(definition: JsonObject) -> Resource:
    """The resource that a definition describes."""
    spec = definition["spec"]
    names = spec["names"]
    versions = [version for version in spec["versions"] if version.get("served")]
    given = {name for version in versions for name in _subresources(version)}
    return Resource(
        group=spec["group"],
        plural=names["plural"],
        singular=names["singular"],
        kind=names["kind"],
        list_kind=names["listKind"],
        namespaced=spec["scope"] == "Namespaced",
        versions=tuple(_version(spec["group"], names["kind"], version) for version in versions),
        storage_version=next(version["name"] for version in spec["versions"] if version.get("storage")),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=dict.fromkeys(sorted(given), _READ_WRITE),
        custom=True,
    )


def _subresources(version: JsonObject) -> JsonObject:
    given = version.get("subresources") or {}
    return {name: value for name, value in given.items() if value is not None}


def _scale_paths(version: JsonObject) -> ScalePaths | None:
    scale = _subresources(version).get("scale")
    if scale is None:
        return None
    paths = (scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")
    return ScalePaths(*(path.removeprefix(".") for path in paths))


def _version(group: str, kind: str, version: JsonObject) -> ResourceVersion:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    columns = tuple(
        PrinterColumn(
            name=column["name"],
            type=column["type"],
            json_path=column["jsonPath"],
            format=column.get("format", ""),
            description=column.get("description", ""),
            priority=column.get("priority", 0),
        )
        for column in version.get("additionalPrinterColumns") or ()
    )
    deprecation = version.get("deprecationWarning") or f"{group}/{version['name']} {kind} is deprecated"
    return ResourceVersion(
        name=version["name"],
        make_openapi=partial(dict, schema),
        make_schema=CompiledSchema,
        columns=columns or (_AGE,),
        deprecation=deprecation if version.get("deprecated") else "",
        selectable_fields=tuple(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()),
        scale=_scale_paths(version),
    )


class DefinitionObserver:
    """Keeps the registry in step with the definitions in the store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._registry = registry
        for definition in store.list(GROUP, PLURAL):
            self._serve(definition)
        store.subscribe(GROUP, PLURAL, self._changed)

    def _changed(self, event: StoreEvent) -> None:
        definition = event.entry.document
        if event.type == "DELETED":
            self._registry.remove(definition["spec"]["group"], definition["spec"]["names"]["plural"])
        elif event.previous is None or event.previous.document["spec"] != definition["spec"]:
            self._serve(definition)

    def _serve(self, definition: JsonObject) -> None:
        if _is_accepted(definition):
            self._registry.add(resource_of(definition))


def _is_accepted(definition: JsonObject) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


class DefinitionStatus:
    """Admission plugin: writes conditions, acceptedNames and storedVersions of definitions."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        """Decide whether the names are free, and say so in the status."""
        item = operation.item
        if item is None or not operation.concerns(GROUP, PLURAL, "CREATE", "UPDATE"):
            return
        status = item["status"] = dict(item.get("status") or {})
        spec = item["spec"]
        taken = self._conflict(spec)
        now = format_time(operation.request.now)
        wanted = _conditions(taken, deleting=is_deleting(item))
        status["conditions"] = _with_times(wanted, status.get("conditions") or [], now)
        if not taken:
            status["acceptedNames"] = dict(spec["names"])
        stored = list(status.get("storedVersions") or ())
        current = next((version["name"] for version in spec["versions"] if version.get("storage")), None)
        status["storedVersions"] = stored if current in stored or current is None else [*stored, current]

    def _conflict(self, spec: JsonObject) -> str:
        mine = {spec["names"].get("plural"), spec["names"].get("singular"), *(spec["names"].get("shortNames") or ())}
        for other in self._registry:
            if other.group != spec["group"] or other.plural == spec["names"].get("plural"):
                continue
            shared = mine & {other.plural, other.singular, *other.short_names}
            if shared:
                return f'"{min(map(str, shared))}" is already in use'
            if other.kind == spec["names"].get("kind"):
                return f'"{other.kind}" is already in use'
        return ""


def _conditions(taken: str, *, deleting: bool) -> list[JsonObject]:
    accepted = {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"}
    established = {
        "type": "Established",
        "status": "True",
        "reason": "InitialNamesAccepted",
        "message": "the initial names have been accepted",
    }
    if taken:
        accepted |= {"status": "False", "reason": "NameConflict", "message": taken}
        established |= {"status": "False", "reason": "NotAccepted", "message": "not all names are accepted"}
    conditions: list[JsonObject] = [accepted, established]
    if deleting:
        message = "CustomResource deletion is in progress"
        conditions.append(
            {"type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress", "message": message}
        )
    return conditions


def _with_times(wanted: list[JsonObject], present: list[JsonObject], now: str) -> list[JsonObject]:
    before = {condition["type"]: condition for condition in present}
    result = []
    for condition in wanted:
        old = before.get(condition["type"], {})
        moved = old.get("status") != condition["status"]
        result.append({"lastTransitionTime": now if moved else old["lastTransitionTime"], **condition})
    return result


def definition_of(store: Store, resource: Resource) -> JsonObject | None:
    """The definition behind a custom resource."""
    return store.get(GROUP, PLURAL, None, f"{resource.plural}.{resource.group}")


def is_terminating(store: Store, resource: Resource) -> bool:
    """The resource's definition is being deleted, so that nothing new may be created."""
    definition = definition_of(store, resource) if resource.custom else None
    return bool(definition) and is_deleting(definition or {})
