"""Setting up a pod's volumes from the API, keeping projected files current, and tearing everything down."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import NotFoundError
from sandbox.cluster.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
)
from sandbox.cluster.quantity import parse_quantity
from sandbox.csi.driver import volume_path
from sandbox.csi.names import DRIVERS
from sandbox.kubelet.environment import ConfigurationError, data_of, field_of, resource_of
from sandbox.kubelet.mounts import (
    PodVolume,
    attach_loop_device,
    detach_loop_device,
    give_to_group,
    mount_memory,
    unmount,
)

_DEFAULT_MODE = 0o644
_TOKEN_SECONDS = 3600
_TOKEN_FRESH_SHARE = 0.8  # the kubelet renews a token after 80 % of its life


@dataclass(frozen=True, slots=True)
class _File:
    """One projected file."""

    path: str
    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class _Token:
    data: bytes
    renew_at: datetime


class VolumeSetup:
    """The volumes of one pod under its folder. `storage` is the folder of the CSI driver's volumes."""

    def __init__(self, cluster: Cluster, pod: Object, folder: Path, storage: Path) -> None:
        self._cluster = cluster
        self._pod = pod
        self._folder = folder
        self._storage = storage
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._loops: list[Path] = []
        self._context: Object = pod["spec"].get("securityContext") or {}

    async def set_up(self) -> dict[str, PodVolume]:
        """Makes what is missing; may be repeated. Raises ConfigurationError for what is not there yet."""
        makers: dict[str, Callable[[str, Object], Awaitable[PodVolume]]] = {
            "persistentVolumeClaim": self._claim,
            "emptyDir": self._empty_folder,
            "hostPath": self._host_path,
            "secret": self._projected,
            "configMap": self._projected,
            "downwardAPI": self._projected,
            "projected": self._projected,
        }
        volumes: dict[str, PodVolume] = {}
        for volume in self._pod["spec"].get("volumes") or []:
            kind = next((name for name in makers if name in volume), None)
            if kind is None:
                raise ConfigurationError(f"volume {volume['name']}: {', '.join(volume.keys() - {'name'})} not played")
            try:
                volumes[volume["name"]] = await makers[kind](volume["name"], volume)
            except ConfigurationError as error:
                message = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                raise ConfigurationError(message) from error
        return volumes

    async def refresh(self) -> None:
        """Writes Secrets, ConfigMaps and tokens anew where they changed or grow old."""
        for volume in self._pod["spec"].get("volumes") or []:
            if volume.keys() & {"secret", "configMap", "projected"}:
                await self._projected(volume["name"], volume)

    async def tear_down(self) -> None:
        """Detaches and unmounts everything, and removes the pod's own folders."""
        for device in self._loops:
            await detach_loop_device(device)
        self._loops.clear()
        if not self._folder.exists():
            return
        for folder in self._folder.iterdir():
            await unmount(folder)
        await asyncio.to_thread(shutil.rmtree, self._folder)

    async def _claim(self, _: str, volume: Object) -> PodVolume:
        source = volume["persistentVolumeClaim"]
        namespace = self._pod["metadata"]["namespace"]
        claim = await self._cluster.get(PERSISTENT_VOLUME_CLAIM, source["claimName"], namespace)
        if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
            raise ConfigurationError(f'persistentvolumeclaim "{source["claimName"]}" is not bound')
        bound = await self._cluster.get(PERSISTENT_VOLUME, claim["spec"]["volumeName"])
        csi = (bound or {"spec": {}})["spec"].get("csi") or {}
        if csi.get("driver") not in DRIVERS:
            raise ConfigurationError(f"driver name {csi.get('driver')} not found in the list of registered CSI drivers")
        path = volume_path(self._storage, csi["volumeHandle"])
        read_only = bool(source.get("readOnly"))
        if claim["spec"].get("volumeMode") == "Block":
            device = await attach_loop_device(path, read_only=read_only)
            self._loops.append(device)
            return PodVolume(volume["name"], device, read_only, block=True)
        if "fsGroup" in self._context and not read_only:
            await asyncio.to_thread(give_to_group, path, self._context["fsGroup"])
        return PodVolume(volume["name"], path, read_only)

    async def _empty_folder(self, name: str, volume: Object) -> PodVolume:
        folder = self._folder / name
        source = volume["emptyDir"]
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o777)
            if source.get("medium") == "Memory":
                limit = source.get("sizeLimit")
                await mount_memory(folder, parse_quantity(limit) if limit else None)
            if "fsGroup" in self._context:
                give_to_group(folder, self._context["fsGroup"])
        return PodVolume(name, folder)

    async def _host_path(self, name: str, volume: Object) -> PodVolume:
        path = Path(volume["hostPath"]["path"])
        if not await asyncio.to_thread(path.exists):
            raise ConfigurationError(f"hostPath {path} does not exist")
        return PodVolume(name, path)

    async def _projected(self, name: str, volume: Object) -> PodVolume:
        sources = volume["projected"].get("sources") or [] if "projected" in volume else [volume]
        section = next(value for key, value in volume.items() if key != "name")
        mode = int(section.get("defaultMode", _DEFAULT_MODE))
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        files = [file for source in sources for file in await self._files(source, mode)]
        for file in files:
            self._write(folder / file.path, file)
        wanted = {folder / file.path for file in files}
        for path in [path for path in folder.rglob("*") if path.is_file() and path not in wanted]:
            path.unlink()
        return PodVolume(name, folder, read_only=True)

    async def _files(self, source: Object, mode: int) -> list[_File]:
        if "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            return [_File(token["path"], await self._token(token), mode)]
        if "downwardAPI" in source:
            return [self._downward(item, mode) for item in source["downwardAPI"].get("items") or []]
        if "secret" in source:
            name = source["secret"].get("secretName") or source["secret"].get("name")
            return await self._entries(SECRET, name, source["secret"], mode)
        if "configMap" in source:
            return await self._entries(CONFIG_MAP, source["configMap"]["name"], source["configMap"], mode)
        raise ConfigurationError(f"projected source {', '.join(source)} not played")

    async def _entries(self, kind: Kind, name: str, source: Object, mode: int) -> list[_File]:
        obj = await self._cluster.get(kind, name, self._pod["metadata"]["namespace"])
        if obj is None:
            if source.get("optional"):
                return []
            raise ConfigurationError(f'{kind.kind.lower()} "{name}" not found')
        entries = data_of(kind, obj)
        if "items" not in source:
            return [_File(key, data, mode) for key, data in entries.items()]
        missing = [item["key"] for item in source["items"] if item["key"] not in entries]
        if missing and not source.get("optional"):
            raise ConfigurationError(f"references non-existent {kind.kind.lower()} key: {missing[0]}")
        return [
            _File(item["path"], entries[item["key"]], int(item.get("mode", mode)))
            for item in source["items"]
            if item["key"] in entries
        ]

    def _downward(self, item: Object, mode: int) -> _File:
        if "fieldRef" in item:
            text = field_of(self._pod, item["fieldRef"]["fieldPath"])
        else:
            wanted = item["resourceFieldRef"]["containerName"]
            containers = {container["name"]: container for container in self._pod["spec"]["containers"]}
            text = resource_of(containers[wanted], item["resourceFieldRef"])
        return _File(item["path"], text.encode(), int(item.get("mode", mode)))

    async def _token(self, source: Object) -> bytes:
        audience = source.get("audience", "")
        known = self._tokens.get((audience, source["path"]))
        if known and datetime.now(UTC) < known.renew_at:
            return known.data
        metadata, account = self._pod["metadata"], self._pod["spec"].get("serviceAccountName") or "default"
        reference = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Object = {
            "expirationSeconds": int(source.get("expirationSeconds", _TOKEN_SECONDS)),
            "boundObjectRef": reference,
            "audiences": [audience] if audience else None,
        }
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {key: value for key, value in spec.items() if value is not None},
        }
        path = SERVICE_ACCOUNT.path(metadata["namespace"], account, "token")
        try:
            answer = await self._cluster.request("POST", path, body=request)
        except NotFoundError as error:
            raise ConfigurationError(f'serviceaccount "{account}" not found') from error
        now, expiry = datetime.now(UTC), datetime.fromisoformat(answer["status"]["expirationTimestamp"])
        token = _Token(answer["status"]["token"].encode(), now + (expiry - now) * _TOKEN_FRESH_SHARE)
        self._tokens[audience, source["path"]] = token
        return token.data

    def _write(self, path: Path, file: _File) -> None:
        """Replaces the file in one step; fsGroup may read it."""
        if path.exists() and path.read_bytes() == file.data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(file.data)
        group = self._context.get("fsGroup")
        partial.chmod(file.mode | 0o040 if group is not None else file.mode)
        if group is not None:
            shutil.chown(partial, group=int(group))
        partial.replace(path)
