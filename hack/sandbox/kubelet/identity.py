"""As whom a container runs: users, groups and capabilities from the security contexts of pod and container."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object
from sandbox.kubelet.environment import ConfigurationError

_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_NUMBERS = {name: number for number, name in enumerate(_NAMES.split())}  # linux/capability.h
_CONTAINERD_DEFAULT = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
AUDIT_WRITE
"""
_DEFAULT = frozenset(_CONTAINERD_DEFAULT.split())


@dataclass(frozen=True, slots=True)
class Identity:
    """The rights of a container's process; capabilities by number."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: tuple[int, ...]
    no_new_privileges: bool
    read_only_root: bool


def identity_of(pod: Object, container: Object, image_uid: int) -> Identity:
    """The container's own settings over the pod's over the image's. Raises ConfigurationError for a forbidden root."""
    of_pod, own = pod["spec"].get("securityContext") or {}, container.get("securityContext") or {}
    merged = {**of_pod, **own}
    uid = int(merged.get("runAsUser", image_uid))
    if merged.get("runAsNonRoot") and uid == 0:
        raise ConfigurationError("container has runAsNonRoot and image will run as root")
    gid = int(merged.get("runAsGroup", 0))
    groups = [*of_pod.get("supplementalGroups", []), *([of_pod["fsGroup"]] if "fsGroup" in of_pod else [])]
    return Identity(
        uid=uid,
        gid=gid,
        groups=tuple(dict.fromkeys([gid, *groups])),
        capabilities=_capabilities(own),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
    )


def _capabilities(context: Object) -> tuple[int, ...]:
    if context.get("privileged"):
        return tuple(_NUMBERS.values())
    changes = context.get("capabilities") or {}
    added, dropped = (_named(changes.get(verb) or []) for verb in ("add", "drop"))
    kept = (frozenset() if "ALL" in dropped else _DEFAULT - dropped) | added
    return tuple(_NUMBERS.values()) if "ALL" in added else tuple(sorted(_NUMBERS[name] for name in kept))


def _named(names: list[str]) -> frozenset[str]:
    plain = frozenset(name.upper().removeprefix("CAP_") for name in names)
    if unknown := plain - _NUMBERS.keys() - {"ALL"}:
        raise ConfigurationError(f"unknown capability {min(unknown)}")
    return plain
