"""Creates and updates: from a decoded object to a committed one.

The order is the real server's: metadata, defaults, mutating admission, validation, validating admission, ownership of
fields, commit. Reads and the commit happen without an await between them, or are checked by revision.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.apiserver import metadata, statuses
from sandbox.apiserver.admission.chain import AdmissionChain
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.intake import read_object, refuse_errors, schema_errors, settle
from sandbox.apiserver.objects import JsonObject, copy_json, is_deleting, name_of
from sandbox.apiserver.patches.managed_fields import Writer, record_update
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.rules import rules_of
from sandbox.apiserver.schema import ErrorKind, FieldError
from sandbox.apiserver.store import Entry, RevisionConflictError, Store
from sandbox.apiserver.versions import from_storage, to_storage

_PATCH_ATTEMPTS = 5
"""How often a patch is recomputed on a newer state before the client is told; the real server's number."""

Change = Callable[[JsonObject], JsonObject]
"""From the present state, which it must not change, to the wanted one."""


@dataclass(frozen=True, slots=True)
class Written:
    """The object after a write, in the version of the request, and whether the write made it."""

    item: JsonObject
    created: bool = False


class ObjectWriter:
    """Writes objects for clients and for the server's own controllers alike."""

    def __init__(self, store: Store, admission: AdmissionChain) -> None:
        self._store = store
        self._admission = admission

    async def create(self, request: WriteRequest, body: object, *, owned: bool = False) -> Written:
        """Create an object. `owned` says that its managedFields are complete already (server-side apply)."""
        item = read_object(request, body)
        metadata.begin(request.resource, item, request.namespace, request.now)
        if not owned:
            item["metadata"].pop("managedFields", None)
        if request.resource.custom and request.resource.has_status:
            item.pop("status", None)
        rules = rules_of(request.resource)
        rules.default(item)
        rules.begin(item)
        operation = Operation(verb="CREATE", request=request, item=item)
        if await self._admission.mutate(operation):
            operation.item = settle(request, operation.item or {}, report=False)
            rules.default(operation.item)
        item = operation.item = operation.item or {}
        self._refuse_existing(request, name_of(item))
        errors = metadata.errors_of(request.resource, item) + schema_errors(request, item, None)
        refuse_errors(request, item, errors or rules.validate(item, None))
        await self._admission.validate(operation)
        if not owned:
            record_update(None, item, request.version.field_type, _writer_of(request), request.now)
        if request.dry_run:
            return Written(item, created=True)
        self._refuse_existing(request, name_of(item))
        entry = self._store.create(request.key(name_of(item)), to_storage(request.resource, item))
        return Written(from_storage(request.resource, request.version.name, entry.document), created=True)

    def _refuse_existing(self, request: WriteRequest, name: str) -> None:
        if name and self._store.entry(request.key(name)):
            raise statuses.already_exists(request.group, request.plural, name)

    async def replace(self, request: WriteRequest, body: object) -> Written:
        """Replace an object (PUT). Its resourceVersion, if sent, must be the present one."""
        wanted = read_object(request, body)
        metadata.check_url(wanted, request.name, request.namespace)
        sent = wanted["metadata"].get("resourceVersion")
        if not sent and request.resource.custom:
            detail = "0x0: must be specified for an update"
            error = FieldError("metadata.resourceVersion", ErrorKind.INVALID, detail=detail)
            refuse_errors(request, wanted, [error])
        return await self.change(request, lambda _: copy_json(wanted))

    async def patch(self, request: WriteRequest, change: Change, *, owned: bool = False) -> Written:
        """Change an object by a function of its present state (PATCH)."""

        def patched(current: JsonObject) -> JsonObject:
            item = read_object(request, change(current))
            metadata.check_url(item, request.name, request.namespace)
            return item

        return await self.change(request, patched, owned=owned)

    async def change(self, request: WriteRequest, change: Change, *, owned: bool = False) -> Written:
        """Apply a change, again on the newer state where another write came between and the client named no state."""
        for _ in range(_PATCH_ATTEMPTS):
            entry = self._store.entry(request.key())
            if entry is None:
                raise statuses.not_found(request.group, request.plural, request.name)
            current = from_storage(request.resource, request.version.name, entry.document)
            item = change(current)
            sent = item["metadata"].get("resourceVersion")
            if sent and sent != current["metadata"]["resourceVersion"]:
                raise statuses.modified_meanwhile(request.group, request.plural, request.name)
            try:
                return await self._update(request, entry, current, item, owned=owned)
            except RevisionConflictError:
                continue
        raise statuses.modified_meanwhile(request.group, request.plural, request.name)

    async def _update(
        self, request: WriteRequest, entry: Entry, current: JsonObject, item: JsonObject, *, owned: bool
    ) -> Written:
        baseline = _ownership_baseline(item, current)
        if not owned:
            item["metadata"].pop("managedFields", None)
        metadata.carry_over(request.resource, item, current)
        item = _of_subresource(request, item, current)
        rules = rules_of(request.resource)
        rules.default(item)
        operation = Operation(verb="UPDATE", request=request, item=item, old=current)
        if await self._admission.mutate(operation):
            operation.item = settle(request, operation.item or {}, report=False)
            rules.default(operation.item)
        item = operation.item = operation.item or {}
        self._validate_update(request, item, current)
        await self._admission.validate(operation)
        if not owned:
            record_update(baseline, item, request.version.field_type, _writer_of(request), request.now)
        if item == current:
            return Written(current)
        _count_generation(request, item, current)
        if request.dry_run:
            return Written(item)
        return Written(self.commit(request, entry, item))

    def _validate_update(self, request: WriteRequest, item: JsonObject, current: JsonObject) -> None:
        errors = metadata.errors_of(request.resource, item) + metadata.transition_errors(item, current)
        errors += schema_errors(request, item, current)
        refuse_errors(request, item, errors or rules_of(request.resource).validate(item, current))

    def commit(self, request: WriteRequest, entry: Entry, item: JsonObject) -> JsonObject:
        """Store the new state of an entry; the object goes if this was the last finalizer of one being deleted."""
        stored = to_storage(request.resource, {**item, "metadata": dict(item["metadata"])})
        if is_deleting(stored) and not _is_held(stored):
            committed = self._store.delete(entry.key, stored, entry.revision)
        else:
            committed = self._store.update(entry.key, stored, entry.revision)
        return from_storage(request.resource, request.version.name, committed.document)


def _is_held(item: JsonObject) -> bool:
    """Finalizers, the namespace's own finalizers, or a pod's grace period keep a deleted object."""
    meta = item["metadata"]
    if meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return True
    return item.get("kind") == "Namespace" and bool((item.get("spec") or {}).get("finalizers"))


def _ownership_baseline(item: JsonObject, current: JsonObject) -> JsonObject:
    """A client that sends managedFields: [{}] asks to forget all owners."""
    if item["metadata"].get("managedFields") != [{}]:
        return current
    meta = {key: value for key, value in current["metadata"].items() if key != "managedFields"}
    return {**current, "metadata": meta}


def _writer_of(request: WriteRequest) -> Writer:
    return Writer(request.manager, "Update", request.api_version, request.subresource)


def _of_subresource(request: WriteRequest, item: JsonObject, current: JsonObject) -> JsonObject:
    """What the request may change: the status, or everything but the status."""
    if request.subresource == "status":
        return _with_status_only(request, item, current)
    if request.subresource == "finalize":
        return {**current, "metadata": item["metadata"], "spec": item.get("spec") or {}}
    if request.resource.has_status:
        item.pop("status", None)
        if "status" in current:
            item["status"] = current["status"]
    return item


def _with_status_only(request: WriteRequest, item: JsonObject, current: JsonObject) -> JsonObject:
    kept = {key: value for key, value in current.items() if key != "status"}
    if "status" in item:
        kept["status"] = item["status"]
    if request.resource.custom:
        meta = dict(current["metadata"])
        meta.pop("managedFields", None)
        if "managedFields" in item["metadata"]:
            meta["managedFields"] = item["metadata"]["managedFields"]
        return {**kept, "metadata": meta}
    return {**kept, "metadata": item["metadata"]}


def _count_generation(request: WriteRequest, item: JsonObject, current: JsonObject) -> None:
    if "generation" not in current["metadata"]:
        return
    ignored = {"metadata", "status"} if request.resource.has_status or not request.resource.custom else {"metadata"}
    before = {key: value for key, value in current.items() if key not in ignored}
    after = {key: value for key, value in item.items() if key not in ignored}
    if before != after:
        item["metadata"]["generation"] = current["metadata"]["generation"] + 1
