"""Turns a container of a pod into what its process needs: image, command, environment, rights, mounts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.kinds import Kind
from sandbox.cluster.quantity import parse_quantity
from sandbox.kubelet.container import ContainerSpec
from sandbox.kubelet.environment import environment_of, expand
from sandbox.kubelet.identity import identity_of
from sandbox.kubelet.images import Image, find_image
from sandbox.kubelet.mounts import Mount, PodVolume, container_devices, container_mounts

TERMINATION_LOG = "/dev/termination-log"


class ImageError(Exception):
    """No image of that name is known to the node (ErrImagePull)."""


@dataclass(frozen=True, slots=True)
class ContainerSpecs:
    """Resolves the containers of one pod."""

    cluster: Cluster
    pod: Object
    images: tuple[Image, ...]

    async def resolve(self, container: Object, volumes: dict[str, PodVolume], message_file: Path) -> ContainerSpec:
        """Raises ImageError, or ConfigurationError for anything that is missing."""
        image = find_image(container.get("image", ""), self.images)
        if image is None:
            known = ", ".join(sorted(known.name for known in self.images)) or "none"
            raise ImageError(f'image "{container.get("image")}" stands for no command on this node (known: {known})')
        variables = await environment_of(self.pod, container, self._look_up)
        environment = {**self._given_by_node(image), **variables}
        command = [expand(word, variables) for word in container.get("command") or image.entrypoint]
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        messages = Mount(message_file, container.get("terminationMessagePath") or TERMINATION_LOG, read_only=False)
        return ContainerSpec(
            command=(*command, *(expand(word, variables) for word in container.get("args") or [])),
            environment=environment,
            working_directory=container.get("workingDir") or "/",
            identity=identity_of(self.pod, container, image.uid),
            mounts=(*container_mounts(container, volumes, variables), messages),
            devices=tuple(container_devices(container, volumes)),
            exposed=image.exposed,
            memory_limit_bytes=parse_quantity(limit) if limit else None,
        )

    async def _look_up(self, kind: Kind, name: str) -> Object | None:
        return await self.cluster.get(kind, name, self.pod["metadata"]["namespace"])

    def _given_by_node(self, image: Image) -> dict[str, str]:
        server = urlsplit(self.cluster.endpoint.server)
        return {
            "PATH": image.search_path,
            "HOME": "/",
            "HOSTNAME": self.pod["spec"].get("hostname") or self.pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(server.port or 443),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(server.port or 443),
        }
