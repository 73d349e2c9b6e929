"""Who may do what: --as, can-i, whoami, tokens, bindings."""

from typing import Any

from sandbox.apiserver import EmbeddedApiServer


def test_rights(kubectl: Any) -> None:
    """--as, can-i, whoami and bindings tell who may do what."""
    kubectl("create", "role", "packer", "--verb=get,list,create", "--resource=boxes.kubectl.test")
    kubectl("create", "rolebinding", "packer", "--role=packer", "--user=ann")
    assert kubectl("auth", "can-i", "list", "boxes", "--as=ann") == "yes"
    assert kubectl.run("auth", "can-i", "delete", "boxes", "--as=ann").stdout.strip() == "no"
    assert kubectl.run("auth", "can-i", "list", "boxes", "--as=ann", "-n", "default").stdout.strip() == "no"
    assert "boxes.kubectl.test" in kubectl("auth", "can-i", "--list", "--as=ann")
    kubectl("create", "-f", "-", "--as=ann", given=kubectl.box())
    assert kubectl.refused("delete", "box", "b", "--as=ann") == (
        'Error from server (Forbidden): boxes.kubectl.test "b" is forbidden: User "ann" cannot delete resource '
        f'"boxes" in API group "kubectl.test" in the namespace "{kubectl.namespace}"'
    )
    assert "system:authenticated" in kubectl("auth", "whoami", "--as=ann", "--as-group=team")
    wider = kubectl.refused("create", "role", "more", "--verb=delete", "--resource=boxes.kubectl.test", "--as=ann")
    assert "cannot create resource" in wider


def test_tokens(kubectl: Any, api_server: EmbeddedApiServer) -> None:
    """A service account's token acts as it, with its rights and no others."""
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "rolebinding", "robot", "--clusterrole=view", f"--serviceaccount={kubectl.namespace}:robot")
    token = kubectl("create", "token", "robot", "--duration=10m")
    robot = ("--token", token, "--server", api_server.url)
    who = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", *robot)
    assert who == f"system:serviceaccount:{kubectl.namespace}:robot"
    kubectl("get", "configmaps", *robot)
    assert "Forbidden" in kubectl.refused("get", "secrets", *robot)
    assert "may not specify a duration less than 10 minutes" in kubectl.refused(
        "create", "token", "robot", "--duration=1m"
    )


def test_escalation(kubectl: Any) -> None:
    """An admin of a namespace cannot give away what only the cluster's admin has."""
    kubectl("create", "rolebinding", "boss", "--clusterrole=admin", "--user=ann")
    kubectl("create", "rolebinding", "friend", "--clusterrole=view", "--user=bob", "--as=ann")
    refused = kubectl.refused("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=bob", "--as=ann")
    assert "is attempting to grant RBAC permissions not currently held" in refused
