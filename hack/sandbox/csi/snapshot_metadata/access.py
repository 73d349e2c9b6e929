"""Who may ask: the token in the request by TokenReview, its user's right by SubjectAccessReview."""

from __future__ import annotations

import grpc

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import SNAPSHOT_METADATA_SERVICE, SUBJECT_ACCESS_REVIEW, TOKEN_REVIEW
from sandbox.csi.names import DRIVER
from sandbox.csi.snapshot_metadata.refusals import RefusalError


async def check_access(cluster: Cluster, token: str, namespace: str) -> None:
    """Lets the holder of a token pass who may get VolumeSnapshots of the namespace; raises RefusalError."""
    try:
        user = await _user_of(cluster, token)
    except ApiError as error:
        raise RefusalError(grpc.StatusCode.INTERNAL, f"failed to authenticate user: {error.message}") from error
    if user is None:
        raise RefusalError(grpc.StatusCode.UNAUTHENTICATED, "unauthenticated user")
    try:
        decision = await _decision(cluster, user, namespace)
    except ApiError as error:
        raise RefusalError(grpc.StatusCode.INTERNAL, f"failed to authorize the user: {error.message}") from error
    if not decision.get("allowed") or decision.get("denied"):
        reason = decision.get("reason") or ""
        message = f"user does not have permissions to perform the operation: {reason}"
        raise RefusalError(grpc.StatusCode.PERMISSION_DENIED, message)


async def _user_of(cluster: Cluster, token: str) -> Object | None:
    """Whose token it is, if it is one for the audience that the driver's SnapshotMetadataService names."""
    service = await cluster.get(SNAPSHOT_METADATA_SERVICE, DRIVER)
    if service is None:
        message = f"failed to find the SnapshotMetadataService CR for driver '{DRIVER}'"
        raise RefusalError(grpc.StatusCode.INTERNAL, f"failed to authenticate user: {message}")
    audience = service["spec"]["audience"]
    review = {"metadata": {}, "spec": {"token": token, "audiences": [audience]}}
    status = (await cluster.create(TOKEN_REVIEW, review))["status"]
    known = status.get("authenticated") and audience in (status.get("audiences") or [])
    return dict(status["user"]) if known else None


async def _decision(cluster: Cluster, user: Object, namespace: str) -> Object:
    spec = {
        "user": user.get("username", ""),
        "uid": user.get("uid", ""),
        "groups": user.get("groups") or [],
        "extra": user.get("extra") or {},
        "resourceAttributes": {
            "verb": "get",
            "namespace": namespace,
            "group": "snapshot.storage.k8s.io",
            "version": "v1",
            "resource": "volumesnapshots",
        },
    }
    return dict((await cluster.create(SUBJECT_ACCESS_REVIEW, {"metadata": {}, "spec": spec}))["status"])
