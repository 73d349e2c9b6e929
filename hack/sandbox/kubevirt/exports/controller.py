"""VirtualMachineExports: makes what they need, serves them, tells it in their status, and ends them in time.

Recorded: sources, order, conditions, links and lifetimes. Not recorded, and after KubeVirt's documentation: a Secret
made for an export that names none, and the refusals VMNotFound, VMNoVolumes and "not ready to use".
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.certificates import ServingFiles
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    VM_EXPORT,
    VOLUME_SNAPSHOT,
    Kind,
)
from sandbox.cluster.metadata import controller_uid, is_deleting, labels_of
from sandbox.guest.errors import GuestError
from sandbox.kubevirt.caches import Caches
from sandbox.kubevirt.exports import children
from sandbox.kubevirt.exports.manifests import data_volumes, exported_machine
from sandbox.kubevirt.exports.observation import observe
from sandbox.kubevirt.exports.server import PulledPoint, Served
from sandbox.kubevirt.exports.serving import ExportServers
from sandbox.kubevirt.exports.source import DISK_FORMATS, Source, formats_of
from sandbox.kubevirt.exports.statuses import expiry, export_status, internal_links, service_name
from sandbox.kubevirt.first_consumer import select_node
from sandbox.kubevirt.machines.disks import backing_path
from sandbox.kubevirt.names import EXPORT_COMPONENT, EXPORT_SERVICE


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at an export: the object, and what its source is."""

    export: Object
    source: Source

    @property
    def uid(self) -> str:
        """The export's."""
        return str(self.export["metadata"]["uid"])

    @property
    def namespace(self) -> str:
        """The export's."""
        return str(self.export["metadata"]["namespace"])


class ExportController:
    """`point_of` gives the pull in progress of a VirtualMachineBackup (namespace, name), None while there is none."""

    def __init__(
        self,
        cluster: Cluster,
        caches: Caches,
        servers: ExportServers,
        volumes: Path,
        point_of: Callable[[Key], PulledPoint | None],
    ) -> None:
        self._cluster = cluster
        self._caches = caches
        self._servers = servers
        self._volumes = volumes
        self._point_of = point_of

    async def run(self) -> None:
        """Works until cancelled."""
        controller = Controller(self._cluster, "exports", workers=2, max_backoff_seconds=5.0)
        controller.watch(self._caches.exports)
        controller.watch(self._caches.claims, self._exports_near)
        controller.watch(self._caches.pods, self._exports_near)
        controller.watch(self._caches.instances, self._exports_near)
        controller.watch(self._caches.snapshots, self._exports_near)
        controller.watch(self._caches.backups, self._exports_near)
        await controller.run(self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        """One look at an export; asks for the next when its time is up."""
        await self._end_orphans()
        namespace, name = key
        export = await self._cluster.get(VM_EXPORT, name, namespace)
        if export is None or is_deleting(export):
            await self._release_pods(key)
            return None
        now = datetime.now(UTC)
        left = (expiry(export) - now).total_seconds()
        if left <= 0:
            await self._cluster.delete(VM_EXPORT, name, namespace, uid=export["metadata"]["uid"])
            return None
        await self._make(SERVICE, children.service_of(export), export, "ServiceCreated", "Created service {}")
        look = _Look(export, await observe(self._cluster, self._caches, export))
        pod = None if look.source.refusal else await self._bring_up(look)
        base = self._servers.base(look.uid) if pod is not None else None
        links = internal_links(base, self._files(look).authority, look.source) if base else None
        token_secret = children.token_secret_name(export) if pod or export["spec"].get("tokenSecretRef") else None
        status = export_status(export, look.source, pod, links, token_secret, now)
        if status != export.get("status"):
            await self._cluster.update_status(VM_EXPORT, {**export, "status": status})
        return left

    async def _bring_up(self, look: _Look) -> Object:
        """Claims, token, manifests, pod, and the server as soon as everything that it mounts is there."""
        export, source = look.export, look.source
        for backup in source.wanted:
            await self._create_claim(export, backup)
        if not export["spec"].get("tokenSecretRef"):
            made = children.token_secret_of(export, secrets.token_urlsafe(20))
            with suppress(AlreadyExistsError):
                await self._cluster.create(SECRET, made)
        manifests = await self._create_manifests(look) if source.machine is not None else None
        pod = await self._pod(look)
        for claim in source.claims.values():
            if (claim.get("status") or {}).get("phase") != "Bound":
                await select_node(self._cluster, self._caches, claim)
        token = await self._token(export)
        if (pod.get("status") or {}).get("phase") == "Pending" and source.bound and token:
            await self._servers.start(look.uid, self._served(look, token, manifests), self._files(look))
            status = children.pod_status(pod, "Running", datetime.now(UTC))
            pod = await self._cluster.update_status(POD, {**pod, "status": status})
        return pod

    async def _create_claim(self, export: Object, backup: Object) -> None:
        namespace = export["metadata"]["namespace"]
        snapshot = await self._cluster.get(VOLUME_SNAPSHOT, backup["volumeSnapshotName"], namespace)
        restore_size = ((snapshot or {}).get("status") or {}).get("restoreSize")
        with suppress(AlreadyExistsError):
            await self._cluster.create(PERSISTENT_VOLUME_CLAIM, children.claim_of(export, backup, restore_size))

    async def _create_manifests(self, look: _Look) -> dict[str, str]:
        """The data of the ConfigMap, which keeps the VM as it was when the export was made."""
        assert look.source.machine is not None
        machine = exported_machine(look.source.machine)
        volumes = data_volumes(look.source, look.namespace)
        wanted = children.manifest_map_of(look.export, machine, volumes, self._files(look).authority)
        words = "Created exporter data manifest {}"
        made = await self._make(CONFIG_MAP, wanted, look.export, "DataManifestCreated", words)
        return dict(made["data"])

    async def _pod(self, look: _Look) -> Object:
        """The pod, made anew where the process that served for the old one has ended."""
        name = service_name(look.export)
        pod = await self._cluster.get(POD, name, look.namespace)
        if pod is not None and (self._servers.base(look.uid) is None) and pod["status"].get("phase") == "Running":
            await self._cluster.delete(POD, name, look.namespace, grace_seconds=0)
            pod = None
        if pod is None:
            secret_name = f"secret-{secrets.token_hex(5)}"
            token_secret = children.token_secret_name(look.export)
            wanted = children.pod_of(look.export, look.source, token_secret, secret_name)
            pod = await self._make(POD, wanted, look.export, "ExporterPodCreated", "Created exporter pod {}")
            await self._cluster.create(SECRET, children.certificate_secret_of(pod, secret_name, self._files(look)))
            await self._event(look.export, "SecretCreated", "Created exporter pod secret")
        return pod

    def _files(self, look: _Look) -> ServingFiles:
        return self._servers.files(look.uid, service_name(look.export), look.namespace)

    async def _token(self, export: Object) -> str | None:
        """The token, byte for byte; None while its Secret is missing, as a pod that cannot mount it waits."""
        secret = await self._cluster.get(SECRET, children.token_secret_name(export), export["metadata"]["namespace"])
        encoded = ((secret or {}).get("data") or {}).get("token")
        return base64.b64decode(encoded).decode() if encoded else None

    def _served(self, look: _Look, token: str, manifests: dict[str, str] | None) -> Served:
        claims = look.source.claims
        names = {original: claim["metadata"]["name"] for original, claim in claims.items()}
        backup: Key = (look.namespace, look.export["spec"]["source"]["name"])
        return Served(
            export=look.export["metadata"]["name"],
            token=token,
            volumes={claim["metadata"]["name"]: self._path(claim) for claim in claims.values()},
            disks=frozenset(names[name] for name, claim in claims.items() if formats_of(claim) is DISK_FORMATS),
            manifests=manifests,
            originals=names,
            point=lambda: self._point_of(backup),
        )

    def _path(self, claim: Object) -> Path:
        volume = self._caches.volumes.get(claim["spec"]["volumeName"])
        try:
            return backing_path(claim["metadata"]["name"], claim, volume, self._volumes)
        except GuestError as error:
            # As a pod that cannot mount its volume: tried again, later each time.
            raise OSError(str(error)) from error

    async def _make(self, kind: Kind, wanted: Object, export: Object, reason: str, words: str) -> Object:
        """Creates a child and tells so; a child that exists is left alone, and returned."""
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        if (found := await self._cluster.get(kind, name, namespace)) is not None:
            return found
        made = await self._cluster.create(kind, wanted)
        await self._event(export, reason, words.format(f"{namespace}/{name}"))
        return made

    async def _event(self, export: Object, reason: str, message: str) -> None:
        await self._cluster.event(export, "Normal", reason, message, EXPORT_COMPONENT)

    async def _release_pods(self, key: Key) -> None:
        """Lets the pods of a deleted export go; no kubelet looks after them."""
        namespace, name = key
        for pod in self._caches.pods.list(namespace):
            if labels_of(pod).get(EXPORT_SERVICE) == name and is_deleting(pod):
                await self._cluster.delete(POD, pod["metadata"]["name"], namespace, grace_seconds=0)

    async def _end_orphans(self) -> None:
        """Ends the servers of exports that are gone or going."""
        living = {item["metadata"]["uid"] for item in self._caches.exports.list() if not is_deleting(item)}
        await asyncio.gather(*(self._servers.stop(uid) for uid in self._servers.uids() - living))

    def _exports_near(self, changed: Object) -> Iterable[Key]:
        """The exports that a change of this object may concern."""
        namespace, name = key_of(changed)
        owner = controller_uid(changed)
        served = labels_of(changed).get(EXPORT_SERVICE)
        near = [(namespace, served)] if served else []
        for export in self._caches.exports.list(namespace):
            names = {export["spec"]["source"]["name"], (export.get("status") or {}).get("virtualMachineName")}
            uses = changed["kind"] == "Pod" and export["spec"]["source"]["kind"] == "PersistentVolumeClaim"
            if name in names or owner == export["metadata"]["uid"] or uses:
                near.append(key_of(export))
        return near
