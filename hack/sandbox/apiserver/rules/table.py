"""Which rules belong to which built-in kind."""

from sandbox.apiserver.rules import configuration, definitions, volumes, workloads
from sandbox.apiserver.rules.kinds import KindRules

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"

RULES: dict[tuple[str, str], KindRules] = {
    ("", "ConfigMap"): configuration.CONFIG_MAP,
    ("", "Endpoints"): configuration.ENDPOINTS,
    ("", "Namespace"): configuration.NAMESPACE,
    ("", "PersistentVolume"): volumes.VOLUME,
    ("", "PersistentVolumeClaim"): volumes.CLAIM,
    ("", "Pod"): workloads.POD,
    ("", "ReplicationController"): workloads.REPLICATION_CONTROLLER,
    ("", "Secret"): configuration.SECRET,
    ("", "Service"): configuration.SERVICE,
    ("apps", "ControllerRevision"): configuration.CONTROLLER_REVISION,
    ("apps", "DaemonSet"): workloads.DAEMON_SET,
    ("apps", "Deployment"): workloads.DEPLOYMENT,
    ("apps", "ReplicaSet"): workloads.REPLICATED,
    ("apps", "StatefulSet"): workloads.REPLICATED,
    ("batch", "CronJob"): workloads.CRON_JOB,
    ("batch", "Job"): workloads.JOB,
    ("storage.k8s.io", "StorageClass"): volumes.STORAGE_CLASS,
    ("scheduling.k8s.io", "PriorityClass"): configuration.PRIORITY_CLASS,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definitions.DEFINITION,
    ("apiregistration.k8s.io", "APIService"): definitions.API_SERVICE,
    (_RBAC, "ClusterRole"): configuration.ROLE,
    (_RBAC, "ClusterRoleBinding"): configuration.BINDING,
    (_RBAC, "Role"): configuration.ROLE,
    (_RBAC, "RoleBinding"): configuration.BINDING,
    (_ADMISSION, "MutatingWebhookConfiguration"): configuration.WEBHOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): configuration.WEBHOOKS,
}
