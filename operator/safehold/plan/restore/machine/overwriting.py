"""What a new VM needs and what is there already with other content: kept, or replaced where that was asked for.

To replace is to delete and to create, so that immutable Secrets and ConfigMaps can be replaced too, and with no right
to change any. What was there is kept in a Secret first: a restore that fails puts it back.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from safehold.plan.names import RESTORED_BY, replaced_objects_name
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.machine.manifest import Machine, key, same_content
from safehold.plan.restore.steps import CreateObject, DeleteObject, SaveObjects, Step, Wait

PHASE = "Rebuilding"


def overwrite(look: Look, machine: Machine) -> Decision | None:
    """Until nothing that is to be replaced is left. What appears after the Secret was written stays as it is."""
    others = list(foreign(look, machine))
    if look.restore.spec.existing_objects != "Overwrite" or not others:
        return None
    if look.seen.saved is None:
        secret = replaced_objects_name(look.restore.metadata.name, look.uid)
        step = SaveObjects(secret, look.restore.metadata.name, look.uid, [_restorable(found) for found in others])
        names = [" ".join(key(found)) for found in others]
        message = f"keeps in Secret {secret} what it replaces"
        return look.goes_on(step, PHASE, message, replaced_objects=names, replaced_objects_secret=secret)
    for found in others:
        if key(found) in look.seen.saved:
            return look.goes_on(_delete(found), PHASE, f"replaces {' '.join(key(found))}")
    return None


def put_back(look: Look) -> Step | None:
    """The next object to create again; None when all are there. For a restore that failed, whose own are gone."""
    for manifest in (look.seen.saved or {}).values():
        if key(manifest) not in look.seen.existing:
            return CreateObject(manifest)
    return None


def foreign(look: Look, machine: Machine) -> Iterator[Mapping[str, Any]]:
    """What exists under the names of the VM's dependencies, with other content, and not by this restore."""
    for manifest in machine.dependencies:
        found = look.seen.existing.get(key(manifest))
        if found is None or (found["metadata"].get("labels") or {}).get(RESTORED_BY) == look.uid:
            continue
        if not same_content(found, manifest):
            yield found


def _delete(found: Mapping[str, Any]) -> Step:
    kind, name = key(found)
    if "deletionTimestamp" in found["metadata"]:
        return Wait(f"{kind} {name} is being deleted; its finalizers hold it")
    return DeleteObject(str(found["apiVersion"]), kind, name, str(found["metadata"]["uid"]))


def _restorable(found: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what the API server gives each one anew."""
    metadata = {
        field: value
        for field, value in found["metadata"].items()
        if field in ("name", "namespace", "labels", "annotations", "ownerReferences")
    }
    return {**{field: value for field, value in found.items() if field != "status"}, "metadata": metadata}
