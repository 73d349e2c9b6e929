"""Events of the server's own controllers."""

import uuid

from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.names import generated_name
from sandbox.apiserver.objects import JsonObject, format_time
from sandbox.apiserver.store import Key
from sandbox.apiserver.versions import to_storage


class EventRecorder:
    """Writes Events straight into the store: they say what happened and must not fail what they tell of."""

    def __init__(self, plane: ControlPlane, component: str) -> None:
        self._plane = plane
        self._component = component

    def warn(self, item: JsonObject, reason: str, message: str) -> None:
        """A Warning about an object, in its namespace; in `default` if it has none."""
        meta = item["metadata"]
        namespace = meta.get("namespace") or "default"
        now = format_time(self._plane.now())
        name = generated_name(f"{meta['name']}.")
        involved = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": meta["name"], "uid": meta["uid"]}
        if meta.get("namespace"):
            involved["namespace"] = meta["namespace"]
        event: JsonObject = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": now},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": "Warning",
        }
        resource = self._plane.registry.get("", "events")
        if resource:
            self._plane.store.create(Key("", "events", namespace, name), to_storage(resource, event))
