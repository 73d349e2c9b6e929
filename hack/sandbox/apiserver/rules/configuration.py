"""Namespace, ConfigMap, Secret, Service, RBAC roles and bindings."""

import base64
import binascii

from sandbox.apiserver.objects import JsonObject, metadata_of, name_of
from sandbox.apiserver.rules.kinds import KindRules
from sandbox.apiserver.rules.paths import IMMUTABLE, immutable, one_of, part, set_default
from sandbox.apiserver.schema import ErrorKind, FieldError

_NAME_LABEL = "kubernetes.io/metadata.name"
_IMMUTABLE_DATA = "field is immutable when `immutable` is set"
_TYPED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_DATA_LIMIT_BYTES = 1 << 20


def _default_namespace(item: JsonObject) -> None:
    metadata_of(item).setdefault("labels", {})[_NAME_LABEL] = name_of(item)
    part(item, "spec")
    part(item, "status").setdefault("phase", "Active")


def _begin_namespace(item: JsonObject) -> None:
    item["spec"] = {"finalizers": ["kubernetes"]}
    item["status"] = {"phase": "Active"}


def _default_secret(item: JsonObject) -> None:
    set_default(item, type="Opaque")
    texts = item.pop("stringData", None) or {}
    if texts:
        data = item["data"] = dict(item.get("data") or {})
        for key, text in texts.items():
            data[key] = base64.b64encode(str(text).encode()).decode()


def _validate_secret(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    data = item.get("data") or {}
    errors = [
        FieldError(f"data[{key}]", ErrorKind.REQUIRED)
        for key in _TYPED_KEYS.get(str(item.get("type")), ())
        if key not in data
    ]
    errors += [
        FieldError(f"data[{key}]", ErrorKind.INVALID, "<secret contents redacted>", "must be base64")
        for key, value in data.items()
        if not _is_base64(value)
    ]
    return errors + immutable(item, old, "type") + _data_errors(item, old, ("data",))


def _is_base64(value: object) -> bool:
    try:
        base64.b64decode(str(value or ""), validate=True)
    except binascii.Error:
        return False
    return True


def _validate_config_map(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    return _data_errors(item, old, ("data", "binaryData"))


def _data_errors(item: JsonObject, old: JsonObject | None, fields: tuple[str, ...]) -> list[FieldError]:
    errors = []
    size = sum(len(str(value)) for field in fields for value in (item.get(field) or {}).values())
    if size > _DATA_LIMIT_BYTES:
        detail = f"may not be more than {_DATA_LIMIT_BYTES} bytes"
        errors.append(FieldError("data", ErrorKind.TOO_LONG, detail=detail))
    if old is not None and old.get("immutable"):
        fixed = [field for field in fields if (item.get(field) or {}) != (old.get(field) or {})]
        fixed += [] if item.get("immutable") else ["immutable"]
        errors += [FieldError(field, ErrorKind.FORBIDDEN, detail=_IMMUTABLE_DATA) for field in fixed]
    return errors


def _default_service(item: JsonObject) -> None:
    spec = part(item, "spec")
    set_default(spec, type="ClusterIP", sessionAffinity="None")
    for port in spec.get("ports") or ():
        set_default(port, protocol="TCP", targetPort=port.get("port"))
    if spec["type"] != "ExternalName":
        # Nothing routes cluster IPs here, so every Service is headless in effect.
        set_default(spec, clusterIP="None", internalTrafficPolicy="Cluster")
    part(item, "status").setdefault("loadBalancer", {})


def _default_endpoints(item: JsonObject) -> None:
    for subset in item.get("subsets") or ():
        for port in subset.get("ports") or ():
            set_default(port, protocol="TCP")


def _validate_service(item: JsonObject, _old: JsonObject | None) -> list[FieldError]:
    errors = one_of(item, "spec.type", "ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
    if item["spec"].get("type") == "ExternalName" and not item["spec"].get("externalName"):
        errors.append(FieldError("spec.externalName", ErrorKind.REQUIRED))
    return errors


def _default_binding(item: JsonObject) -> None:
    part(item, "roleRef").setdefault("apiGroup", "rbac.authorization.k8s.io")
    for subject in item.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _validate_binding(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    errors = one_of(item, "roleRef.kind", "ClusterRole", "Role")
    if old is not None and item.get("roleRef") != old.get("roleRef"):
        errors.append(FieldError("roleRef", ErrorKind.INVALID, item.get("roleRef"), "cannot change roleRef"))
    for index, subject in enumerate(item.get("subjects") or ()):
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            errors.append(FieldError(f"subjects[{index}].namespace", ErrorKind.REQUIRED))
    return errors


def _default_role(item: JsonObject) -> None:
    if item.get("rules") is None:
        item["rules"] = []


def _validate_priority_class(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    if old is not None and item.get("value") != old.get("value"):
        return [FieldError("value", ErrorKind.FORBIDDEN, detail="may not be changed in an update.")]
    return []


def _validate_controller_revision(item: JsonObject, old: JsonObject | None) -> list[FieldError]:
    if old is not None and item.get("data") != old.get("data"):
        return [FieldError("data", ErrorKind.INVALID, detail=IMMUTABLE)]
    return []


def _default_webhooks(item: JsonObject) -> None:
    for webhook in item.get("webhooks") or ():
        set_default(webhook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
        set_default(webhook, namespaceSelector={}, objectSelector={})
        for rule in webhook.get("rules") or ():
            set_default(rule, scope="*")


def _validate_webhooks(item: JsonObject, _old: JsonObject | None) -> list[FieldError]:
    errors = []
    for index, webhook in enumerate(item.get("webhooks") or ()):
        config = webhook.get("clientConfig") or {}
        if ("url" in config) == ("service" in config):
            detail = "exactly one of url or service is required"
            errors.append(FieldError(f"webhooks[{index}].clientConfig", ErrorKind.REQUIRED, detail=detail))
        scheme = str(config.get("url", "https:")).partition(":")[0]
        if scheme != "https":
            detail = "'https' is the only allowed URL scheme; desired format: https://host[/path]"
            errors.append(FieldError(f"webhooks[{index}].clientConfig.url", ErrorKind.INVALID, scheme, detail))
        if webhook.get("matchConditions"):
            # Ignoring them would call webhooks that the author excluded.
            detail = "this server does not evaluate match conditions"
            errors.append(FieldError(f"webhooks[{index}].matchConditions", ErrorKind.FORBIDDEN, detail=detail))
    return errors


NAMESPACE = KindRules(default=_default_namespace, begin=_begin_namespace)
SECRET = KindRules(default=_default_secret, validate=_validate_secret)
CONFIG_MAP = KindRules(validate=_validate_config_map)
ENDPOINTS = KindRules(default=_default_endpoints)
SERVICE = KindRules(default=_default_service, validate=_validate_service)
BINDING = KindRules(default=_default_binding, validate=_validate_binding)
ROLE = KindRules(default=_default_role)
PRIORITY_CLASS = KindRules(validate=_validate_priority_class)
CONTROLLER_REVISION = KindRules(validate=_validate_controller_revision)
WEBHOOKS = KindRules(default=_default_webhooks, validate=_validate_webhooks)
