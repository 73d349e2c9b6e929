"""Which resources the server has: built in, and added by CustomResourceDefinitions."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.patches.field_types import FieldType, root_type
from sandbox.apiserver.schema import FieldError

STANDARD_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class KindSchema(Protocol):
    """What the server asks of a kind's schema; schema.CompiledSchema for all kinds, made when first needed."""

    def prune(self, obj: JsonObject) -> JsonObject:
        """Drop unknown fields."""

    def unknown_fields(self, obj: JsonObject) -> list[str]:
        """Paths of fields that prune would drop."""

    def default(self, obj: JsonObject) -> JsonObject:
        """Fill in defaults."""

    def validate(self, obj: JsonObject, old: JsonObject | None = None) -> list[FieldError]:
        """Errors; with `old`, also transition rules."""


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column of `kubectl get`, of a CRD: what `additionalPrinterColumns` says."""

    name: str
    type: str
    json_path: str
    format: str = ""
    description: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where an object keeps what a Scale shows, as dotted paths."""

    spec: str = "spec.replicas"
    status: str = "status.replicas"
    selector: str = "spec.selector"
    """A LabelSelector, or its text; an empty path if there is none."""


@dataclass(frozen=True, kw_only=True)
class ResourceVersion:
    """One served version of a resource, with its OpenAPI schema."""

    name: str
    make_openapi: Callable[[], JsonObject]
    make_schema: Callable[[JsonObject], KindSchema]
    columns: tuple[PrinterColumn, ...] = ()
    deprecation: str = ""
    selectable_fields: tuple[str, ...] = ()
    scale: ScalePaths | None = None
    """None if there is no scale subresource."""

    @cached_property
    def openapi(self) -> JsonObject:
        """The self-contained OpenAPI v3 schema of the kind, without references."""
        return self.make_openapi()

    @cached_property
    def schema(self) -> KindSchema:
        """The compiled schema; made at first use, because most built-in kinds are never used in one run."""
        return self.make_schema(self.openapi)

    @cached_property
    def field_type(self) -> FieldType:
        """How the kind's fields merge, for patches and managedFields."""
        return root_type(self.openapi)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource of the API: its names, versions, verbs and subresources."""

    group: str
    plural: str
    singular: str
    kind: str
    list_kind: str
    namespaced: bool
    versions: tuple[ResourceVersion, ...]
    storage_version: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name → verbs."""
    verbs: tuple[str, ...] = STANDARD_VERBS
    custom: bool = False
    """Defined by a CustomResourceDefinition."""
    generation: bool = False
    """metadata.generation counts changes outside metadata and status."""
    stored_as: tuple[str, str] | None = None
    """(group, plural) under which the objects lie, where that is another resource's: Event has two groups."""

    @property
    def has_status(self) -> bool:
        """There is a status subresource, so that spec and status are written apart."""
        return "status" in self.subresources

    @property
    def store_key(self) -> tuple[str, str]:
        """(group, plural) of the objects in the store."""
        return self.stored_as or (self.group, self.plural)

    def version(self, name: str) -> ResourceVersion | None:
        """The served version of that name."""
        return next((version for version in self.versions if version.name == name), None)

    def api_version(self, version: str) -> str:
        """`group/version`, or `version` in the core group."""
        return f"{self.group}/{version}" if self.group else version


class Registry:
    """All resources; consulted by every request, changed by CRDs."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str], Resource] = {}
        self.generation = 0
        """Rises with every change; caches of discovery and OpenAPI compare it."""

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))

    def add(self, resource: Resource) -> None:
        """Serve the resource from now on, in place of one of the same name."""
        self._resources[resource.group, resource.plural] = resource
        self.generation += 1

    def remove(self, group: str, plural: str) -> None:
        """Serve it no longer."""
        self._resources.pop((group, plural), None)
        self.generation += 1

    def get(self, group: str, plural: str) -> Resource | None:
        """The resource of that name."""
        return self._resources.get((group, plural))

    def served(self, group: str, version: str, plural: str) -> tuple[Resource, ResourceVersion] | None:
        """The resource and its version, if both are served."""
        resource = self.get(group, plural)
        found = resource.version(version) if resource else None
        return (resource, found) if resource and found else None

    def by_kind(self, group: str, kind: str) -> Resource | None:
        """The resource whose objects are of that kind, in whatever version."""
        candidates = (each for each in self._resources.values() if (each.group, each.kind) == (group, kind))
        return next((each for each in candidates if "get" in each.verbs), None)

    def groups(self) -> dict[str, list[str]]:
        """Group → served versions, the preferred one first, in the order in which groups were added."""
        found: dict[str, list[str]] = {}
        for resource in self._resources.values():
            versions = found.setdefault(resource.group, [])
            versions.extend(version.name for version in resource.versions if version.name not in versions)
        return {group: sorted(versions, key=version_priority, reverse=True) for group, versions in found.items()}

    def in_version(self, group: str, version: str) -> list[Resource]:
        """Resources served under group/version."""
        return [each for each in self._resources.values() if each.group == group and each.version(version)]


def version_priority(version: str) -> tuple[int, int, int]:
    """Sort key by Kubernetes' rule: v2 > v1 > v2beta1 > v1beta2 > v1alpha1."""
    stages = {"": 2, "beta": 1, "alpha": 0}
    for stage in ("alpha", "beta"):
        major, found, minor = version.removeprefix("v").partition(stage)
        if found and major.isdigit() and minor.isdigit():
            return stages[stage], int(major), int(minor)
    major = version.removeprefix("v")
    return (stages[""], int(major), 0) if major.isdigit() else (-1, 0, 0)
