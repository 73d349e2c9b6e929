"""Kubeconfig files."""

import base64
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
