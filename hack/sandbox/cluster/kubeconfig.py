"""A kubeconfig's current context as what an HTTP client needs: address, TLS context, headers."""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class KubeconfigError(Exception):
    """The file cannot be used; the message says which entry is missing or not supported."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and as whom to speak: base URL without a trailing slash, TLS context (None for http), headers."""

    server: str
    tls: ssl.SSLContext | None
    headers: Mapping[str, str]


def load_endpoint(path: Path) -> Endpoint:
    """Reads the current context; client certificates and bearer tokens are understood, exec plugins are not."""
    config = yaml.safe_load(path.read_text())
    context = _entry(path, config, "contexts", str(config.get("current-context")))["context"]
    cluster = _entry(path, config, "clusters", context["cluster"])["cluster"]
    user = _entry(path, config, "users", context["user"])["user"] or {}
    for plugin in ("exec", "auth-provider", "username"):
        if plugin in user:
            raise KubeconfigError(f"{path}: user {context['user']} logs in by {plugin}; use a token or a certificate")
    server = str(cluster["server"]).rstrip("/")
    tls = _tls_context(path.parent, cluster, user) if server.startswith("https://") else None
    return Endpoint(server, tls, _headers(path.parent, user))


def _entry(path: Path, config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    for entry in config.get(section) or []:
        if entry["name"] == name:
            return dict(entry)
    raise KubeconfigError(f"{path}: no entry {name!r} in {section}")


def _headers(folder: Path, user: dict[str, Any]) -> dict[str, str]:
    token = user.get("token")
    if not token and user.get("tokenFile"):
        token = (folder / user["tokenFile"]).read_text().strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tls_context(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    authority = _material(folder, cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate, key = _material(folder, user, "client-certificate"), _material(folder, user, "client-key")
    if certificate and key:
        # ssl reads a certificate chain from files only.
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(certificate + b"\n" + key)
            pem.flush()
            tls.load_cert_chain(pem.name)
    return tls


def _material(folder: Path, section: dict[str, Any], field: str) -> bytes | None:
    """PEM bytes given inline as base64 (`<field>-data`) or as a file, relative to the kubeconfig."""
    if section.get(f"{field}-data"):
        return base64.b64decode(section[f"{field}-data"])
    return (folder / section[field]).read_bytes() if section.get(field) else None
