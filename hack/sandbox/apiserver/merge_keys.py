"""How lists and maps of built-in types merge: what the Python client does not carry of Kubernetes' type definitions.

Source: the `listType`, `listMapKey`, `mapType` and `patchMergeKey` markers of k8s.io/api and apimachinery.
"""

LIST_MAP_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "V1ObjectMeta": {"ownerReferences": ("uid",)},
    "V1PodSpec": {
        "containers": ("name",),
        "initContainers": ("name",),
        "ephemeralContainers": ("name",),
        "volumes": ("name",),
        "imagePullSecrets": ("name",),
        "hostAliases": ("ip",),
        "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
        "schedulingGates": ("name",),
        "resourceClaims": ("name",),
    },
    "V1Container": {
        "ports": ("containerPort", "protocol"),
        "env": ("name",),
        "volumeMounts": ("mountPath",),
        "volumeDevices": ("devicePath",),
    },
    "V1EphemeralContainer": {
        "ports": ("containerPort", "protocol"),
        "env": ("name",),
        "volumeMounts": ("mountPath",),
        "volumeDevices": ("devicePath",),
    },
    "V1ResourceRequirements": {"claims": ("name",)},
    "V1PodStatus": {"conditions": ("type",), "podIPs": ("ip",)},
    "V1ServiceSpec": {"ports": ("port", "protocol")},
    "V1ServiceStatus": {"conditions": ("type",)},
    "V1ServiceAccount": {"secrets": ("name",)},
    "V1NamespaceStatus": {"conditions": ("type",)},
    "V1NodeStatus": {"addresses": ("type",), "conditions": ("type",)},
    "V1PersistentVolumeClaimStatus": {"conditions": ("type",)},
    "V1DeploymentStatus": {"conditions": ("type",)},
    "V1ReplicaSetStatus": {"conditions": ("type",)},
    "V1DaemonSetStatus": {"conditions": ("type",)},
    "V1StatefulSetStatus": {"conditions": ("type",)},
    "V1PodDisruptionBudgetStatus": {"conditions": ("type",)},
    "V1CustomResourceDefinitionStatus": {"conditions": ("type",)},
    "V1APIServiceStatus": {"conditions": ("type",)},
    "V1ValidatingWebhookConfiguration": {"webhooks": ("name",)},
    "V1MutatingWebhookConfiguration": {"webhooks": ("name",)},
    "V1ValidatingWebhook": {"matchConditions": ("name",)},
    "V1MutatingWebhook": {"matchConditions": ("name",)},
}
"""Model → field → the fields that identify an item, for server-side apply. Other lists are replaced as a whole."""

LIST_SETS: dict[str, frozenset[str]] = {
    "V1ObjectMeta": frozenset({"finalizers"}),
    "V1NodeSpec": frozenset({"podCIDRs"}),
    "V1LoadBalancerStatus": frozenset(),
}
"""Model → fields whose items are the values themselves."""

PATCH_MERGE_KEYS: dict[str, dict[str, str]] = {
    "V1JobStatus": {"conditions": "type"},
    "V1NodeSpec": {"podCIDRs": ""},
}
"""Merge keys of strategic merge patch where they differ from the first of LIST_MAP_KEYS; "" merges plain values."""

RETAIN_KEYS: dict[str, frozenset[str]] = {
    "V1PodSpec": frozenset({"volumes"}),
    "V1DeploymentSpec": frozenset({"strategy"}),
}
"""Fields of strategic merge patch where keys that the patch does not name are dropped ($retainKeys)."""

ATOMIC_TYPES = frozenset(
    {
        "V1ConfigMapKeySelector",
        "V1LabelSelector",
        "V1LocalObjectReference",
        "V1NodeSelector",
        "V1NodeSelectorTerm",
        "V1ObjectFieldSelector",
        "V1ObjectReference",
        "V1ResourceFieldSelector",
        "V1RoleRef",
        "V1ScopeSelector",
        "V1SecretKeySelector",
        "V1SecretReference",
        "V1TypedLocalObjectReference",
        "V1TypedObjectReference",
        "RbacV1Subject",
    }
)
"""Types that one manager owns as a whole (`mapType: atomic`)."""

QUANTITY_FIELDS = frozenset(
    {
        "allocatable",
        "allocatedResources",
        "capacity",
        "default",
        "defaultRequest",
        "divisor",
        "hard",
        "limits",
        "max",
        "maxLimitRequestRatio",
        "min",
        "overhead",
        "requests",
        "sizeLimit",
        "used",
    }
)
"""Fields of type resource.Quantity, which may be written as a number too; the Python client calls them strings."""
