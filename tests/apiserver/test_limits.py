"""Quotas and limit ranges of a namespace."""

from .conftest import Api, until
from .objects import claim


async def test_quota_refuses_what_is_too_much(api: Api, namespace: str) -> None:
    """A claim above requests.storage is refused in the words recorded of the real server; usage is counted."""
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    await api.create(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"requests.storage": "32Mi"}}})
    refused = await api.send("POST", claims, claim("q", "64Mi"))
    assert refused.code == 403
    assert refused.body["message"] == (
        'persistentvolumeclaims "q" is forbidden: exceeded quota: q, requested: requests.storage=64Mi, '
        "used: requests.storage=0, limited: requests.storage=32Mi"
    )
    await api.create(claims, claim("small", "16Mi"))
    used = {"requests.storage": "16Mi"}
    await until(api, f"{quotas}/q", lambda _, body: body.get("status", {}).get("used") == used)


async def test_limit_ranges(api: Api, namespace: str) -> None:
    """A LimitRange bounds claims, and fills in what containers leave out."""
    limits = [
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
        {"type": "Container", "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"}},
    ]
    root = f"/api/v1/namespaces/{namespace}"
    await api.create(f"{root}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    refused = await api.send("POST", f"{root}/persistentvolumeclaims", claim("big", "2Gi"))
    assert refused.body["message"] == (
        'persistentvolumeclaims "big" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, '
        "but request is 2Gi"
    )
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await api.create(f"{root}/pods", pod)
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}
