"""How the administrator reaches the server: kubeconfig and token, in the state directory."""

import base64
import secrets
from pathlib import Path

import yaml


def write_kubeconfig(path: Path, *, server: str, authority: str, token: str, user: str) -> None:
    """Write a kubeconfig that reaches the server with a bearer token. The file holds a credential: mode 0600."""
    certificate = base64.b64encode(authority.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": server, "certificate-authority-data": certificate}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": user, "namespace": "default"}}],
        "current-context": "sandbox",
    }
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(yaml.safe_dump(document, sort_keys=False))
    fresh.replace(path)


def previous_port(path: Path) -> int:
    """The port of the server in a kubeconfig of ours; 0 if there is none yet."""
    if not path.exists():
        return 0
    server = yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"]
    return int(str(server).rpartition(":")[2])


def admin_token(path: Path) -> str:
    """The token in a file; made the first time, so that kubeconfigs outlive a restart."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text()
