"""The demo acts as a user does: with kubectl."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.demo.errors import StoryError

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with one kubeconfig, as the user of that or, for an administrator, as another (`user`)."""

    kubeconfig: Path
    user: str = ""

    async def run(self, *arguments: str, given: str | None = None) -> str:
        """Its standard output; a StoryError with its standard error if it fails."""
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("kubectl")),
            f"--kubeconfig={self.kubeconfig}",
            *([f"--as={self.user}"] if self.user else []),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate((given or "").encode())
        if process.returncode:
            raise StoryError(f"kubectl {' '.join(arguments)}: {errors.decode().strip()}")
        return output.decode()

    async def apply(self, manifests: str) -> None:
        """Applies manifests server-side, as GitOps tools do."""
        await self.run("apply", "--server-side", "--force-conflicts", "-f", "-", given=manifests)

    async def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        """The object, or an empty one if it does not exist."""
        text = await self.run("get", resource, name, *_scope(namespace), "--ignore-not-found", "-o", "json")
        return dict(json.loads(text)) if text.strip() else {}

    async def list(self, resource: str, namespace: str | None = None, *arguments: str) -> list[dict[str, Any]]:
        """The objects of one namespace, or the cluster's."""
        text = await self.run("get", resource, *_scope(namespace), *arguments, "-o", "json")
        return list(json.loads(text)["items"])

    async def first(self, resource: str, namespace: str, fits: Callable[[dict[str, Any]], bool], seconds: float) -> str:
        """Waits until an object fits, and returns its name; the first in order of names if several do."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    names = [_name(obj) for obj in await self.list(resource, namespace) if fits(obj)]
                    if names:
                        return min(names)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise StoryError(f"no fitting object among {resource} of {namespace} within {seconds:.0f} s") from error

    async def wait(
        self,
        resource: str,
        name: str,
        namespace: str | None,
        reached: Callable[[dict[str, Any]], bool],
        seconds: float,
    ) -> dict[str, Any]:
        """Waits until `reached` holds of the object, and returns it. A Stalled object ends the wait at once."""
        obj: dict[str, Any] = {}
        try:
            async with asyncio.timeout(seconds):
                while not reached(obj := await self.get(resource, name, namespace)):
                    if condition(obj, "Stalled").get("status") == "True":
                        raise StoryError(f"{resource} {name} is stalled: {condition(obj, 'Ready').get('message')}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            said = condition(obj, "Ready").get("message") or obj.get("status") or "it does not exist"
            raise StoryError(f"{resource} {name} was not as expected within {seconds:.0f} s: {said}") from error
        return obj


def condition(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of that type, or an empty one."""
    conditions = obj.get("status", {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), {})


def is_ready(obj: dict[str, Any]) -> bool:
    """Whether the object's Ready condition is True for its present generation."""
    found = condition(obj, "Ready")
    current = found.get("observedGeneration", 0) in (0, obj.get("metadata", {}).get("generation"))
    return found.get("status") == "True" and current


def _name(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def _scope(namespace: str | None) -> list[str]:
    return ["--namespace", namespace] if namespace else []
