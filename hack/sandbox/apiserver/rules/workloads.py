"""Pods and what makes pods: Job, CronJob, Deployment, ReplicaSet, DaemonSet, StatefulSet."""

from sandbox.apiserver.objects import JsonObject, copy_json, metadata_of, name_of
from sandbox.apiserver.rules.kinds import KindRules
from sandbox.apiserver.rules.paths import IMMUTABLE, one_of, part, set_default, value_at
from sandbox.apiserver.schema import ErrorKind, FieldError

_TOLERATION_SECONDS = 300
_MUTABLE_POD_FIELDS = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates")
_POD_UPDATE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def _default_pod_spec(spec: JsonObject) -> None:
    set_default(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
        securityContext={},
    )
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        _default_container(container)
    for volume in spec.get("volumes") or ():
        for source in ("secret", "configMap", "projected", "downwardAPI"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 0o644)


def _default_container(container: JsonObject) -> None:
    image = str(container.get("image", ""))
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    set_default(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )
    for port in container.get("ports") or ():
        set_default(port, protocol="TCP")
    resources = container["resources"]
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **resources.get("requests", {})}


def _default_pod(item: JsonObject) -> None:
    spec = part(item, "spec")
    _default_pod_spec(spec)
    set_default(spec, serviceAccountName="default", enableServiceLinks=True, priority=0)
    set_default(spec, preemptionPolicy="PreemptLowerPriority")
    spec["serviceAccount"] = spec["serviceAccountName"]
    part(item, "status")


def _begin_pod(item: JsonObject) -> None:
    spec = item["spec"]
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key") == key for toleration in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )
    item["status"] = {"phase": "Pending", "qosClass": _qos_class(spec)}


def _qos_class(spec: JsonObject) -> str:
    resources = [container.get("resources") or {} for container in spec.get("containers", ())]
    if not any(each.get("requests") or each.get("limits") for each in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (each.get("limits") or {}).keys() and each.get("requests") == each.get("limits")
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _validate_pod(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    errors = _pod_spec_errors(item["spec"], "spec")
    errors += one_of(item, "spec.restartPolicy", "Always", "OnFailure", "Never")
    if old is not None and _fixed_pod_spec(item) != _fixed_pod_spec(_bound_like(old, item)):
        errors.append(FieldError("spec", ErrorKind.FORBIDDEN, detail=_POD_UPDATE))
    return errors


def _bound_like(old: JsonObject, item: JsonObject) -> JsonObject:
    """The pod before with the node of the pod after, where it had none: that is what a binding changes."""
    node = item["spec"].get("nodeName")
    return old if node is None or old["spec"].get("nodeName") else {**old, "spec": {**old["spec"], "nodeName": node}}


def _fixed_pod_spec(item: JsonObject) -> JsonObject:
    fixed: JsonObject = copy_json({key: value for key, value in item["spec"].items() if key not in _MUTABLE_POD_FIELDS})
    for container in [*fixed.get("containers", ()), *fixed.get("initContainers", ())]:
        container.pop("image", None)
    return fixed


def _pod_spec_errors(spec: JsonObject, path: str) -> list[FieldError]:
    errors = []
    containers = spec.get("containers") or []
    if not containers:
        errors.append(FieldError(f"{path}.containers", ErrorKind.REQUIRED))
    seen: set[str] = set()
    for index, container in enumerate(containers):
        if not container.get("image"):
            errors.append(FieldError(f"{path}.containers[{index}].image", ErrorKind.REQUIRED))
        if container.get("name") in seen:
            errors.append(FieldError(f"{path}.containers[{index}].name", ErrorKind.DUPLICATE, container["name"]))
        seen.add(container.get("name", ""))
        errors += _mount_errors(spec, container, f"{path}.containers[{index}]")
    return errors


def _mount_errors(spec: JsonObject, container: JsonObject, path: str) -> list[FieldError]:
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    return [
        FieldError(
            f"{path}.{field}[{index}].name", ErrorKind.INVALID, mount.get("name"), "must be the name of a volume"
        )
        if field == "volumeDevices"
        else FieldError(f"{path}.{field}[{index}].name", ErrorKind.INVALID, mount.get("name"), "Not found")
        for field in ("volumeMounts", "volumeDevices")
        for index, mount in enumerate(container.get(field) or ())
        if mount.get("name") not in volumes
    ]


def _template_spec(item: JsonObject) -> JsonObject:
    template = part(part(item, "spec"), "template")
    part(template, "metadata")
    return part(template, "spec")


def _default_job(item: JsonObject) -> None:
    spec = part(item, "spec")
    set_default(spec, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    set_default(spec, podReplacementPolicy="TerminatingOrFailed", manualSelector=False)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    set_default(spec, parallelism=1)
    _default_pod_spec(_template_spec(item))
    part(item, "status")


def _begin_job(item: JsonObject) -> None:
    item["status"] = {}
    if item["spec"].get("manualSelector"):
        return
    uid = item["metadata"]["uid"]
    labels = part(part(item["spec"], "template"), "metadata").setdefault("labels", {})
    labels |= {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name_of(item)}
    labels |= {"controller-uid": uid, "job-name": name_of(item)}
    item["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _validate_job(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    errors = _pod_spec_errors(value_at(item, "spec.template.spec") or {}, "spec.template.spec")
    if value_at(item, "spec.template.spec.restartPolicy") not in ("OnFailure", "Never"):
        detail = 'valid values: "OnFailure", "Never"'
        errors.append(FieldError("spec.template.spec.restartPolicy", ErrorKind.REQUIRED, detail=detail))
    for field in ("backoffLimit", "parallelism", "completions", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        value = item["spec"].get(field)
        if isinstance(value, int) and value < 0:
            detail = "must be greater than or equal to 0"
            errors.append(FieldError(f"spec.{field}", ErrorKind.INVALID, value, detail))
    if old is not None:
        fields = ["completions", "selector", "completionMode"]
        started = not old["spec"].get("suspend") or value_at(old, "status.startTime")
        fields += ["template"] if started else []
        errors += [
            FieldError(f"spec.{field}", ErrorKind.INVALID, detail=IMMUTABLE)
            for field in fields
            if item["spec"].get(field) != old["spec"].get(field)
        ]
    return errors


def _default_cron_job(item: JsonObject) -> None:
    spec = part(item, "spec")
    set_default(spec, concurrencyPolicy="Allow", suspend=False)
    set_default(spec, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = part(spec, "jobTemplate")
    part(template, "metadata")
    _default_pod_spec(_template_spec(template))


def _default_replicated(item: JsonObject) -> None:
    set_default(part(item, "spec"), replicas=1)
    _default_template(item)


def _default_replication_controller(item: JsonObject) -> None:
    _default_replicated(item)
    labels = value_at(item, "spec.template.metadata.labels")
    if labels:
        set_default(item["spec"], selector=dict(labels))
        set_default(item["metadata"], labels=dict(labels))


def _default_deployment(item: JsonObject) -> None:
    spec = part(item, "spec")
    set_default(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = part(spec, "strategy")
    set_default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        set_default(part(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")
    _default_template(item)


def _default_template(item: JsonObject) -> None:
    _default_pod_spec(_template_spec(item))
    part(item, "status")


def _validate_selected(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    errors = _pod_spec_errors(value_at(item, "spec.template.spec") or {}, "spec.template.spec")
    selector = value_at(item, "spec.selector.matchLabels") or {}
    labels = value_at(item, "spec.template.metadata.labels") or {}
    if not value_at(item, "spec.selector"):
        errors.append(FieldError("spec.selector", ErrorKind.REQUIRED))
    elif any(labels.get(key) != value for key, value in selector.items()):
        detail = "`selector` does not match template `labels`"
        errors.append(FieldError("spec.template.metadata.labels", ErrorKind.INVALID, labels, detail))
    if old is not None and value_at(item, "spec.selector") != value_at(old, "spec.selector"):
        errors.append(FieldError("spec.selector", ErrorKind.INVALID, value_at(item, "spec.selector"), IMMUTABLE))
    return errors


def _begin_stateless(item: JsonObject) -> None:
    item["status"] = {}
    metadata_of(item)


POD = KindRules(default=_default_pod, begin=_begin_pod, validate=_validate_pod)
JOB = KindRules(default=_default_job, begin=_begin_job, validate=_validate_job)
CRON_JOB = KindRules(default=_default_cron_job, begin=_begin_stateless)
DEPLOYMENT = KindRules(default=_default_deployment, begin=_begin_stateless, validate=_validate_selected)
REPLICATED = KindRules(default=_default_replicated, begin=_begin_stateless, validate=_validate_selected)
REPLICATION_CONTROLLER = KindRules(default=_default_replication_controller, begin=_begin_stateless)
DAEMON_SET = KindRules(default=_default_template, begin=_begin_stateless, validate=_validate_selected)
