"""The table of built-in kinds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from sandbox.apiserver import openapi_models
from sandbox.apiserver.registry import STANDARD_VERBS, Registry, Resource, ResourceVersion, ScalePaths
from sandbox.apiserver.schema import CompiledSchema

_READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    kind: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    subresources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    verbs: tuple[str, ...] = STANDARD_VERBS
    scale: bool = False
    model: str = ""
    deprecation: str = ""
    stored_as: tuple[str, str] | None = None


def _cluster(kind: str, plural: str, *short: str, status: bool = False, generation: bool = False) -> _Kind:
    return _Kind(kind=kind, plural=plural, short=short, namespaced=False, status=status, generation=generation)


def _namespaced(kind: str, plural: str, *short: str, status: bool = False, generation: bool = False) -> _Kind:
    return _Kind(kind=kind, plural=plural, short=short, status=status, generation=generation)


def _workload(kind: str, plural: str, *short: str, scale: bool = False) -> _Kind:
    return _Kind(kind=kind, plural=plural, short=short, categories=("all",), status=True, generation=True, scale=scale)


def _review(kind: str, plural: str, *, namespaced: bool = False) -> _Kind:
    return _Kind(kind=kind, plural=plural, namespaced=namespaced, verbs=("create",))


_CORE = (
    _Kind(
        kind="Namespace",
        plural="namespaces",
        short=("ns",),
        namespaced=False,
        status=True,
        subresources={"finalize": ("update",)},
        verbs=tuple(verb for verb in STANDARD_VERBS if verb != "deletecollection"),
    ),
    _cluster("Node", "nodes", "no", status=True),
    _cluster("PersistentVolume", "persistentvolumes", "pv", status=True),
    _Kind(
        kind="Pod",
        plural="pods",
        short=("po",),
        categories=("all",),
        status=True,
        generation=True,
        subresources={"log": ("get",), "exec": ("get", "create"), "binding": ("create",)},
    ),
    _namespaced("ConfigMap", "configmaps", "cm"),
    _namespaced("Secret", "secrets"),
    _Kind(kind="Service", plural="services", short=("svc",), categories=("all",), status=True),
    _Kind(
        kind="Endpoints",
        plural="endpoints",
        short=("ep",),
        deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ),
    _workload("ReplicationController", "replicationcontrollers", "rc"),
    _Kind(kind="ServiceAccount", plural="serviceaccounts", short=("sa",), subresources={"token": ("create",)}),
    _namespaced("PersistentVolumeClaim", "persistentvolumeclaims", "pvc", status=True),
    _Kind(kind="Event", plural="events", short=("ev",), model="CoreV1Event"),
    _namespaced("ResourceQuota", "resourcequotas", "quota", status=True),
    _namespaced("LimitRange", "limitranges", "limits"),
)
_EVENTS = (_Kind(kind="Event", plural="events", short=("ev",), model="EventsV1Event", stored_as=("", "events")),)
_APPS = (
    _workload("Deployment", "deployments", "deploy", scale=True),
    _workload("ReplicaSet", "replicasets", "rs", scale=True),
    _workload("DaemonSet", "daemonsets", "ds"),
    _workload("StatefulSet", "statefulsets", "sts", scale=True),
    _namespaced("ControllerRevision", "controllerrevisions"),
)
_RBAC = (
    _namespaced("Role", "roles"),
    _namespaced("RoleBinding", "rolebindings"),
    _cluster("ClusterRole", "clusterroles"),
    _cluster("ClusterRoleBinding", "clusterrolebindings"),
)
_STORAGE = (
    _cluster("StorageClass", "storageclasses", "sc"),
    _cluster("VolumeAttachment", "volumeattachments", status=True),
    _cluster("CSIDriver", "csidrivers"),
)
_NETWORKING = (
    _namespaced("NetworkPolicy", "networkpolicies", "netpol", generation=True),
    _namespaced("Ingress", "ingresses", "ing", status=True, generation=True),
)
_CRD = _Kind(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    short=("crd", "crds"),
    namespaced=False,
    categories=("api-extensions",),
    status=True,
    generation=True,
)
_API_SERVICE = _Kind(
    kind="APIService",
    plural="apiservices",
    namespaced=False,
    categories=("api-extensions",),
    status=True,
)
_WEBHOOKS = tuple(
    _Kind(kind=kind, plural=plural, namespaced=False, categories=("api-extensions",), generation=True)
    for kind, plural in (
        ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
        ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    )
)
_AUTHORIZATION = (
    _review("SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    _review("SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    _review("SubjectAccessReview", "subjectaccessreviews"),
    _review("LocalSubjectAccessReview", "localsubjectaccessreviews", namespaced=True),
)
_AUTHENTICATION = (_review("TokenReview", "tokenreviews"), _review("SelfSubjectReview", "selfsubjectreviews"))

_GROUPS: dict[str, tuple[_Kind, ...]] = {
    "": _CORE,
    "apiregistration.k8s.io": (_API_SERVICE,),
    "apps": _APPS,
    "events.k8s.io": _EVENTS,
    "authentication.k8s.io": _AUTHENTICATION,
    "authorization.k8s.io": _AUTHORIZATION,
    "batch": (_workload("Job", "jobs"), _workload("CronJob", "cronjobs", "cj")),
    "networking.k8s.io": _NETWORKING,
    "policy": (_namespaced("PodDisruptionBudget", "poddisruptionbudgets", "pdb", status=True, generation=True),),
    "rbac.authorization.k8s.io": _RBAC,
    "storage.k8s.io": _STORAGE,
    "admissionregistration.k8s.io": _WEBHOOKS,
    "apiextensions.k8s.io": (_CRD,),
    "scheduling.k8s.io": (_cluster("PriorityClass", "priorityclasses", "pc", generation=True),),
    "coordination.k8s.io": (_namespaced("Lease", "leases"),),
    "discovery.k8s.io": (_namespaced("EndpointSlice", "endpointslices"),),
}


def model_of(group: str, kind: str) -> str:
    """The `kubernetes` package's model of a built-in kind."""
    entry = next(entry for entry in _GROUPS[group] if entry.kind == kind)
    return entry.model or f"V1{kind}"


def builtin_resources() -> Iterator[Resource]:
    """Every built-in resource; all are served as v1."""
    for group, kinds in _GROUPS.items():
        for entry in kinds:
            yield _resource(group, entry)


def _resource(group: str, entry: _Kind) -> Resource:
    subresources = dict(entry.subresources)
    if entry.status:
        subresources["status"] = _READ_WRITE
    if entry.scale:
        subresources["scale"] = _READ_WRITE
    version = ResourceVersion(
        name="v1",
        make_openapi=partial(openapi_models.inline, entry.model or f"V1{entry.kind}"),
        make_schema=CompiledSchema,
        deprecation=entry.deprecation,
        scale=ScalePaths() if entry.scale else None,
    )
    return Resource(
        group=group,
        plural=entry.plural,
        singular=entry.kind.lower(),
        kind=entry.kind,
        list_kind=f"{entry.kind}List",
        namespaced=entry.namespaced,
        versions=(version,),
        storage_version="v1",
        short_names=entry.short,
        categories=entry.categories,
        subresources=subresources,
        verbs=entry.verbs,
        generation=entry.generation,
        stored_as=entry.stored_as,
    )


def builtin_registry() -> Registry:
    """A registry with all built-in kinds."""
    registry = Registry()
    for resource in builtin_resources():
        registry.add(resource)
    return registry
