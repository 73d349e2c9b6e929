"""The objects that an export makes: Service, claims, manifests, token, pod and the pod's certificate."""

from __future__ import annotations

import json
from datetime import datetime

from sandbox.certificates import ServingFiles
from sandbox.cluster.client import Object, Objects, timestamp
from sandbox.cluster.metadata import controller_reference
from sandbox.cluster.quantity import format_bytes, parse_quantity
from sandbox.kubevirt.exports.source import Source, restored_claim_name
from sandbox.kubevirt.exports.statuses import expiry, service_name
from sandbox.kubevirt.names import CONTENT_TYPE, EXPORT_SERVICE, NODE

_SNAPSHOT_GROUP = "snapshot.storage.k8s.io"
_CERTIFICATE_PARAMETERS = '{"Duration":86400000000000,"RenewBefore":17280000000000}'


def service_of(export: Object) -> Object:
    """The Service that real clients reach the server by; the sandbox has no cluster network behind it."""
    return {
        "metadata": {**_owned(export, service_name(export)), "labels": {"kubevirt.io": "virt-exporter"}},
        "spec": {
            "ports": [{"name": "export", "protocol": "TCP", "port": 443, "targetPort": 8443}],
            "selector": {EXPORT_SERVICE: export["metadata"]["name"]},
        },
    }


def token_secret_name(export: Object) -> str:
    """The Secret with the token: the user's, or one that KubeVirt makes."""
    return str(export["spec"].get("tokenSecretRef") or f"export-token-{export['metadata']['name']}")


def token_secret_of(export: Object, token: str) -> Object:
    """The Secret of an export that names none."""
    return {"metadata": _owned(export, token_secret_name(export)), "type": "Opaque", "stringData": {"token": token}}


def claim_of(export: Object, backup: Object, restore_size: str | None) -> Object:
    """A claim filled from the VolumeSnapshot of one of the content's volumeBackups."""
    captured = backup["persistentVolumeClaim"]
    original = captured["metadata"]["name"]
    snapshot = {"apiGroup": _SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": backup["volumeSnapshotName"]}
    spec = {
        field: captured["spec"][field]
        for field in ("accessModes", "storageClassName", "volumeMode")
        if field in captured["spec"]
    }
    sizes = [captured["spec"]["resources"]["requests"]["storage"], *([restore_size] if restore_size else [])]
    spec["resources"] = {"requests": {"storage": format_bytes(max(map(parse_quantity, sizes)))}}
    metadata = _owned(export, restored_claim_name(export, original))
    metadata["annotations"] = {CONTENT_TYPE: "kubevirt"}
    return {"metadata": metadata, "spec": {**spec, "dataSource": snapshot, "dataSourceRef": snapshot}}


def manifest_map_of(export: Object, machine: Object, data_volumes: Objects, authority: str) -> Object:
    """The ConfigMap from which the server makes /manifests/all."""
    name, namespace = export["metadata"]["name"], export["metadata"]["namespace"]
    trusted = {"metadata": {"name": f"export-ca-cm-{name}"}, "data": {"ca.pem": authority}}
    data = {
        "export-name": name,
        "internal_host": f"{service_name(export)}.{namespace}.svc",
        "internal_ca_cm": json.dumps(trusted),
        "virtualmachine-manifest": json.dumps(machine),
    }
    data |= {f"dv-{item['metadata']['name']}": json.dumps(item) for item in data_volumes}
    return {"metadata": _owned(export, f"exporter-vm-manifest-{name}"), "data": data}


def pod_of(export: Object, source: Source, token_secret: str, certificate_secret: str) -> Object:
    """The server's pod, on the sandbox's own node: it holds the claims, while KubeVirt's process does the serving."""
    mounted = [{"name": "certificates", "secret": {"secretName": certificate_secret}}]
    mounted.append({"name": "token", "secret": {"secretName": token_secret}})
    names = [claim["metadata"]["name"] for claim in source.claims.values()]
    claims: Objects = [
        {"name": f"volume{index}", "persistentVolumeClaim": {"claimName": name}} for index, name in enumerate(names)
    ]
    metadata = _owned(export, service_name(export))
    metadata["labels"] = {EXPORT_SERVICE: export["metadata"]["name"]}
    metadata["annotations"] = {"kubevirt.io/export.certParameters": _CERTIFICATE_PARAMETERS}
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": NODE,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "volumes": [*mounted, *claims],
            "containers": [
                {
                    "name": "exporter",
                    "image": "sandbox/virt-exportserver",
                    "env": [{"name": "DEADLINE", "value": timestamp(expiry(export))}],
                    "volumeMounts": [
                        {"name": item["name"], "mountPath": f"/export-volumes/{name}", "readOnly": True}
                        for item, name in zip(claims, names, strict=True)
                    ],
                }
            ],
        },
    }


def certificate_secret_of(pod: Object, name: str, files: ServingFiles) -> Object:
    """The pod's TLS Secret, which dies with it."""
    return {
        "metadata": {
            "name": name,
            "namespace": pod["metadata"]["namespace"],
            "ownerReferences": [controller_reference(pod)],
        },
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": files.certificate.read_text(), "tls.key": files.key.read_text()},
    }


def pod_status(pod: Object, phase: str, now: datetime) -> Object:
    """The pod's status in a phase; a running one is ready, since its server answers by then."""
    moment, ready = timestamp(now), phase == "Running"
    conditions = [
        {"type": kind, "status": "True" if ready or kind == "PodScheduled" else "False", "lastTransitionTime": moment}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    container = pod["spec"]["containers"][0]
    shown = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
    statuses = [{**shown, "ready": ready, "started": ready}]
    return {**(pod.get("status") or {}), "phase": phase, "conditions": conditions, "containerStatuses": statuses}


def _owned(export: Object, name: str) -> Object:
    return {
        "name": name,
        "namespace": export["metadata"]["namespace"],
        "ownerReferences": [controller_reference(export)],
    }
