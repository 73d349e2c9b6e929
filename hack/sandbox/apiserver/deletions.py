"""Deletes: preconditions, propagation policies, grace periods, and objects that finalizers keep for a while."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sandbox.apiserver import statuses
from sandbox.apiserver.admission.chain import AdmissionChain
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.objects import JsonObject, format_time, is_deleting
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.store import Entry, RevisionConflictError, Store
from sandbox.apiserver.versions import from_storage

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"
_POLICIES = ("Background", "Foreground", "Orphan")
_RETURN_OBJECT = frozenset({"pods", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts", "resourcequotas"})
"""Core resources whose delete is answered with the object instead of a Status."""
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """How to delete: what happens to dependents, how long to wait, and which state is meant."""

    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None


def read_options(body: Any, query: dict[str, str]) -> DeleteOptions:
    """DeleteOptions of the body, or of the query where the body has none."""
    document = body if isinstance(body, dict) and body.get("kind", "DeleteOptions") == "DeleteOptions" else {}
    propagation = document.get("propagationPolicy") or query.get("propagationPolicy")
    orphan = document.get("orphanDependents")
    if orphan is not None and propagation is None:
        propagation = "Orphan" if orphan else "Background"
    if propagation is not None and propagation not in _POLICIES:
        supported = ", ".join(f'"{policy}"' for policy in (*sorted(_POLICIES), ""))
        fault = f'propagationPolicy: Unsupported value: "{propagation}": supported values: {supported}'
        raise statuses.ApiError(422, "Invalid", f'DeleteOptions.meta.k8s.io "" is invalid: {fault}')
    grace = document.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    preconditions = document.get("preconditions") or {}
    return DeleteOptions(
        propagation=propagation or "Background",
        grace_seconds=None if grace is None else max(int(grace), 0),
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
    )


class ObjectDeleter:
    """Deletes objects for clients and for the server's own controllers."""

    def __init__(self, store: Store, admission: AdmissionChain) -> None:
        self._store = store
        self._admission = admission

    async def delete(self, request: WriteRequest, options: DeleteOptions) -> JsonObject:
        """Delete one object. Returns it if it stays for now (or is of a kind that answers so), else a Status."""
        for _ in range(_ATTEMPTS):
            entry = self._store.entry(request.key())
            if entry is None:
                raise statuses.not_found(request.group, request.plural, request.name)
            _check_preconditions(request, entry.document, options)
            operation = Operation(verb="DELETE", request=request, item=None, old=entry.document)
            await self._admission.mutate(operation)
            await self._admission.validate(operation)
            try:
                return self._delete(request, entry, options)
            except RevisionConflictError:
                continue
        raise statuses.modified_meanwhile(request.group, request.plural, request.name)

    async def delete_collection(self, request: WriteRequest, entries: list[Entry], options: DeleteOptions) -> None:
        """Delete many objects; those that are gone meanwhile count as deleted."""
        for entry in entries:
            meta = entry.document["metadata"]
            single = replace(request, namespace=meta.get("namespace", ""), name=meta["name"])
            try:
                await self.delete(single, options)
            except statuses.ApiError as error:
                if error.code != 404:
                    raise

    def _delete(self, request: WriteRequest, entry: Entry, options: DeleteOptions) -> JsonObject:
        item = {**entry.document, "metadata": dict(entry.document["metadata"])}
        meta = item["metadata"]
        _set_propagation(meta, options.propagation)
        grace = _grace_seconds(item, options)
        held = bool(meta.get("finalizers")) or grace > 0 or bool(_namespace_finalizers(item))
        if not held:
            if not request.dry_run:
                self._store.delete(entry.key, item, entry.revision)
            return _answer(request, item)
        self._mark(request, item, grace)
        if item["metadata"] == entry.document["metadata"] or request.dry_run:
            return from_storage(request.resource, request.version.name, entry.document)
        committed = self._store.update(entry.key, item, entry.revision)
        return from_storage(request.resource, request.version.name, committed.document)

    def _mark(self, request: WriteRequest, item: JsonObject, grace: int) -> None:
        meta = item["metadata"]
        if is_deleting(item):
            if grace < meta.get("deletionGracePeriodSeconds", 0):
                meta["deletionGracePeriodSeconds"] = grace
                meta["deletionTimestamp"] = format_time(request.now + timedelta(seconds=grace))
            return
        meta["deletionTimestamp"] = format_time(request.now + timedelta(seconds=grace))
        if item.get("kind") == "Namespace":
            item["status"] = {**(item.get("status") or {}), "phase": "Terminating"}
        else:
            meta["deletionGracePeriodSeconds"] = grace
        if "generation" in meta:
            meta["generation"] += 1


def _check_preconditions(request: WriteRequest, item: JsonObject, options: DeleteOptions) -> None:
    meta = item["metadata"]
    why = ""
    if options.uid and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({meta['resourceVersion']}). The object might have been modified"
        )
    if why:
        raise statuses.conflict(request.group, request.plural, request.name, why)


def _set_propagation(meta: JsonObject, propagation: str) -> None:
    finalizers = [name for name in meta.get("finalizers") or () if name not in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER)]
    if propagation == "Orphan":
        finalizers.append(ORPHAN_FINALIZER)
    elif propagation == "Foreground":
        finalizers.append(FOREGROUND_FINALIZER)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _grace_seconds(item: JsonObject, options: DeleteOptions) -> int:
    """Only pods wait: those on a node, until the kubelet has ended them."""
    if item.get("kind") != "Pod" or item.get("apiVersion") != "v1":
        return 0
    spec, phase = item["spec"], (item.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if options.grace_seconds is not None:
        return options.grace_seconds
    return int(spec.get("terminationGracePeriodSeconds", 30))


def _namespace_finalizers(item: JsonObject) -> list[str]:
    if item.get("kind") != "Namespace" or item.get("apiVersion") != "v1":
        return []
    return list((item.get("spec") or {}).get("finalizers") or ())


def _answer(request: WriteRequest, item: JsonObject) -> JsonObject:
    if not request.group and request.plural in _RETURN_OBJECT:
        return from_storage(request.resource, request.version.name, item)
    details: JsonObject = {"name": request.name, "kind": request.plural, "uid": item["metadata"]["uid"]}
    if request.group:
        details["group"] = request.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
