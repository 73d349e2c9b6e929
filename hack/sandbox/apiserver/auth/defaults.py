"""The roles and bindings that every cluster starts with, as far as people and tools rely on them."""

from collections.abc import Sequence
from typing import Final

from sandbox.apiserver.auth.aggregation import aggregated_role
from sandbox.apiserver.auth.objects import RBAC_GROUP
from sandbox.apiserver.objects import JsonObject

_READ: Final = ("get", "list", "watch")
_WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")
_AGGREGATE: Final = f"{RBAC_GROUP}/aggregate-to-"

_VIEWED: Final = {
    "": "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "
    "persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers resourcequotas "
    "resourcequotas/status serviceaccounts services services/status",
    "apps": "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
    "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    "autoscaling": "horizontalpodautoscalers horizontalpodautoscalers/status",
    "batch": "cronjobs cronjobs/status jobs jobs/status",
    "discovery.k8s.io": "endpointslices",
    "networking.k8s.io": "ingresses ingresses/status networkpolicies",
    "policy": "poddisruptionbudgets poddisruptionbudgets/status",
}
_EDITED: Final = {
    "": "configmaps events persistentvolumeclaims pods pods/attach pods/eviction pods/exec pods/portforward pods/proxy "
    "replicationcontrollers secrets serviceaccounts services services/proxy",
    "apps": "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
    "statefulsets/scale",
    "autoscaling": "horizontalpodautoscalers",
    "batch": "cronjobs jobs",
    "coordination.k8s.io": "leases",
    "networking.k8s.io": "ingresses networkpolicies",
    "policy": "poddisruptionbudgets",
}
_DISCOVERY_PATHS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*")
_PUBLIC_PATHS: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")


def default_objects() -> list[JsonObject]:
    """ClusterRoles and ClusterRoleBindings to store at start-up, as far as they are absent."""
    roles = _roles()
    return [*(aggregated_role(role, roles) for role in roles), *_bindings()]


def _roles() -> list[JsonObject]:
    return [
        _role("cluster-admin", [_rule(["*"], "*", ["*"]), {"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        _gathering("admin"),
        _gathering("edit", gathered_by="admin"),
        _gathering("view", gathered_by="edit"),
        _role("system:aggregate-to-admin", _admin_rules(), gathered_by="admin"),
        _role("system:aggregate-to-edit", _edit_rules(), gathered_by="edit"),
        _role("system:aggregate-to-view", _rules(_VIEWED, _READ), gathered_by="view"),
        _role("system:discovery", [_path_rule((*_DISCOVERY_PATHS, "/readyz", "/version", "/version/"))]),
        _role("system:public-info-viewer", [_path_rule(_PUBLIC_PATHS)]),
        _role("system:basic-user", _basic_rules()),
        _role("system:service-account-issuer-discovery", [_path_rule(_ISSUER_PATHS)]),
        _role("system:auth-delegator", _delegator_rules()),
    ]


_ISSUER_PATHS: Final = (
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/",
    "/openid/v1/jwks",
    "/openid/v1/jwks/",
)


def _bindings() -> list[JsonObject]:
    return [
        _binding("cluster-admin", "system:masters"),
        _binding("system:discovery", "system:authenticated"),
        _binding("system:basic-user", "system:authenticated"),
        _binding("system:public-info-viewer", "system:authenticated", "system:unauthenticated"),
        _binding("system:service-account-issuer-discovery", "system:serviceaccounts"),
    ]


def _admin_rules() -> list[JsonObject]:
    return [
        _rule(["authorization.k8s.io"], "localsubjectaccessreviews", ["create"]),
        _rule([RBAC_GROUP], "rolebindings roles", (*_READ, *_WRITE)),
    ]


def _edit_rules() -> list[JsonObject]:
    return [
        _rule([""], "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", _READ),
        _rule([""], "serviceaccounts", ["impersonate"]),
        _rule([""], "serviceaccounts/token", ["create"]),
        _rule(["coordination.k8s.io"], "leases", _READ),
        *_rules(_EDITED, _WRITE),
    ]


def _basic_rules() -> list[JsonObject]:
    return [
        _rule(["authorization.k8s.io"], "selfsubjectaccessreviews selfsubjectrulesreviews", ["create"]),
        _rule(["authentication.k8s.io"], "selfsubjectreviews", ["create"]),
    ]


def _delegator_rules() -> list[JsonObject]:
    return [
        _rule(["authentication.k8s.io"], "tokenreviews", ["create"]),
        _rule(["authorization.k8s.io"], "subjectaccessreviews", ["create"]),
    ]


def _rule(groups: Sequence[str], resources: str, verbs: Sequence[str]) -> JsonObject:
    return {"apiGroups": list(groups), "resources": resources.split(), "verbs": list(verbs)}


def _rules(resources: dict[str, str], verbs: Sequence[str]) -> list[JsonObject]:
    return [_rule([group], names, verbs) for group, names in resources.items()]


def _path_rule(paths: Sequence[str]) -> JsonObject:
    return {"nonResourceURLs": list(paths), "verbs": ["get"]}


def _metadata(name: str) -> JsonObject:
    return {
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    }


def _role(name: str, rules: list[JsonObject], *, gathered_by: str = "") -> JsonObject:
    metadata = _metadata(name)
    if gathered_by:
        metadata["labels"][f"{_AGGREGATE}{gathered_by}"] = "true"
    return {"apiVersion": f"{RBAC_GROUP}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}


def _gathering(name: str, *, gathered_by: str = "") -> JsonObject:
    """A role that is the sum of those that carry its label; view is part of edit, edit of admin."""
    selector = {"matchLabels": {f"{_AGGREGATE}{name}": "true"}}
    role = _role(name, [], gathered_by=gathered_by)
    return {**role, "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _binding(role: str, *groups: str) -> JsonObject:
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(role),
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC_GROUP, "kind": "Group", "name": group} for group in groups],
    }
