"""The command lines of the real programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HOST = "127.0.0.1"
_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
)
"""What the embedded server does itself. Volumes, Jobs, Deployments and pods are other parts' of the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What the programs read and write under the state directory."""

    state: Path
    authority: Path
    certificate: Path
    key: Path
    account_key: Path
    """Signs the tokens of service accounts."""
    tokens: Path
    """The administrator's token, as kube-apiserver's --token-auth-file."""
    kubeconfig: Path


def etcd_command(program: Path, files: Files, port: int, peer_port: int) -> list[str]:
    """One member on loopback, which nobody else is to join."""
    client, peer = f"http://{_HOST}:{port}", f"http://{_HOST}:{peer_port}"
    return [
        str(program),
        "--name=sandbox",
        f"--data-dir={files.state / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
    ]


def apiserver_command(program: Path, files: Files, port: int, etcd_port: int, issuer: str) -> list[str]:
    """RBAC, TLS, one administrator by token. Service kubernetes has no endpoint: it could only be loopback."""
    return [
        str(program),
        f"--etcd-servers=http://{_HOST}:{etcd_port}",
        f"--bind-address={_HOST}",
        f"--advertise-address={_HOST}",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={files.state / 'pki'}",
        f"--tls-cert-file={files.certificate}",
        f"--tls-private-key-file={files.key}",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--service-account-issuer={issuer}",
        f"--service-account-key-file={files.account_key}",
        f"--service-account-signing-key-file={files.account_key}",
    ]


def manager_command(program: Path, files: Files, port: int) -> list[str]:
    """Only the controllers that belong to the API itself, as the administrator."""
    return [
        str(program),
        f"--kubeconfig={files.kubeconfig}",
        f"--controllers={','.join(_CONTROLLERS)}",
        "--leader-elect=false",
        f"--root-ca-file={files.authority}",
        f"--service-account-private-key-file={files.account_key}",
        f"--bind-address={_HOST}",
        f"--secure-port={port}",
        f"--cert-dir={files.state / 'controller-manager'}",
    ]
