"""Mutating and validating admission webhooks, at clientConfig.url or behind clientConfig.service."""

import asyncio
import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import jsonpatch

from sandbox.apiserver import statuses
from sandbox.apiserver.addresses import Backend, backend_of, trust_of
from sandbox.apiserver.admission.operations import Operation
from sandbox.apiserver.auth.aggregation import selects
from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.store import Store

_GROUP = "admissionregistration.k8s.io"
_DEFAULT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class _Answer:
    allowed: bool
    status: JsonObject
    patch: list[JsonObject]
    warnings: list[str]


class _CallError(Exception):
    """The webhook could not be asked, or its answer not be understood."""


class WebhookCaller:
    """Calls the webhooks whose rules match a write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections to webhooks."""
        if self._session:
            await self._session.close()
            self._session = None

    async def mutate(self, operation: Operation) -> bool:
        """Apply the patches of mutating webhooks to operation.item; True if something changed."""
        changed = False
        for webhook in self._matching("mutatingwebhookconfigurations", operation):
            answer = await self._ask(webhook, operation)
            if answer and answer.patch and operation.item is not None:
                operation.item = jsonpatch.JsonPatch(answer.patch).apply(operation.item)
                changed = True
        return changed

    async def validate(self, operation: Operation) -> None:
        """Ask validating webhooks, side by side; the first refusal in their order wins."""
        webhooks = list(self._matching("validatingwebhookconfigurations", operation))
        if not webhooks:
            return
        answers = await asyncio.gather(*(self._ask(webhook, operation) for webhook in webhooks), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _matching(self, plural: str, operation: Operation) -> Iterator[JsonObject]:
        if operation.request.group == _GROUP:
            # As on a real server, webhooks cannot lock themselves in.
            return
        for configuration in self._store.list(_GROUP, plural):
            for webhook in configuration.get("webhooks") or ():
                if self._matches(webhook, operation):
                    yield webhook

    def _matches(self, webhook: JsonObject, operation: Operation) -> bool:
        if not any(_rule_matches(rule, operation) for rule in webhook.get("rules") or ()):
            return False
        return self._namespace_matches(webhook, operation) and _object_matches(webhook, operation)

    def _namespace_matches(self, webhook: JsonObject, operation: Operation) -> bool:
        selector = webhook.get("namespaceSelector") or {}
        request = operation.request
        if not selector:
            return True
        if (request.group, request.plural) == ("", "namespaces"):
            namespace = operation.item or operation.old
        elif request.resource.namespaced:
            namespace = self._store.get("", "namespaces", None, request.namespace)
        else:
            return True
        return selects(selector, (namespace or {}).get("metadata", {}).get("labels") or {})

    async def _ask(self, webhook: JsonObject, operation: Operation) -> _Answer | None:
        request = operation.request
        if request.dry_run and webhook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            message = f'admission webhook "{webhook["name"]}" does not support dry run'
            raise statuses.bad_request(message)
        try:
            answer = await self._call(webhook, operation)
        except _CallError as failure:
            if webhook.get("failurePolicy") == "Ignore":
                return None
            raise statuses.internal(f'failed calling webhook "{webhook["name"]}": {failure}') from failure
        request.warnings.extend(answer.warnings)
        if not answer.allowed:
            raise _denied(webhook["name"], answer.status)
        return answer

    async def _call(self, webhook: JsonObject, operation: Operation) -> _Answer:
        review = _review(operation)
        config = webhook["clientConfig"]
        backend = Backend(config["url"]) if "url" in config else backend_of(self._store, config["service"])
        if backend is None:
            service = config["service"]
            raise _CallError(f'service "{service.get("namespace")}/{service.get("name")}" is not of type ExternalName')
        timeout = aiohttp.ClientTimeout(total=webhook.get("timeoutSeconds") or _DEFAULT_SECONDS)
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with self._session.post(
                backend.url,
                json=review,
                timeout=timeout,
                ssl=trust_of(config.get("caBundle")),
                server_hostname=backend.server_name,
            ) as response:
                if response.status != 200:
                    raise _CallError(
                        f"an error on the server ({response.status}) has prevented the request from succeeding"
                    )
                return _answer(await response.json(content_type=None), review["request"]["uid"])
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            raise _CallError(f'Post "{backend.url}": {failure or "context deadline exceeded"}') from failure


def _answer(body: Any, uid: str) -> _Answer:
    response = body.get("response") if isinstance(body, dict) else None
    if not isinstance(response, dict) or response.get("uid") != uid:
        raise ValueError("received invalid webhook response: expected response.uid to be that of the request")
    patch: list[JsonObject] = []
    if response.get("patch"):
        patch = jsonpatch.JsonPatch.from_string(base64.b64decode(response["patch"]).decode()).patch
    status = response.get("status") or {}
    return _Answer(bool(response.get("allowed")), status, patch, response.get("warnings") or [])


def _denied(name: str, status: JsonObject) -> statuses.ApiError:
    message = status.get("message") or status.get("reason")
    text = f'admission webhook "{name}" denied the request'
    text += f": {message}" if message else " without explanation"
    code = status.get("code") or 400
    return statuses.ApiError(code if code >= 400 else 403, status.get("reason") or "", text, status.get("details"))


def _review(operation: Operation) -> JsonObject:
    request = operation.request
    group, version = request.group, request.version.name
    kind = {"group": group, "version": version, "kind": request.resource.kind}
    resource = {"group": group, "version": version, "resource": request.plural}
    body: JsonObject = {
        "uid": str(uuid.uuid4()),
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": request.name or (operation.item or {}).get("metadata", {}).get("name", ""),
        "namespace": request.namespace,
        "operation": operation.verb,
        "userInfo": request.user.document(),
        "object": operation.item,
        "oldObject": operation.old,
        "dryRun": request.dry_run,
        "options": _options(operation.verb, request),
    }
    if request.subresource:
        body |= {"subResource": request.subresource, "requestSubResource": request.subresource}
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": body}


def _options(verb: str, request: WriteRequest) -> JsonObject:
    options: JsonObject = {"kind": f"{verb.capitalize()}Options", "apiVersion": "meta.k8s.io/v1"}
    if verb != "DELETE":
        options["fieldManager"] = request.manager
    return options


def _rule_matches(rule: JsonObject, operation: Operation) -> bool:
    request = operation.request
    scope = rule.get("scope") or "*"
    return (
        _includes(rule.get("operations"), operation.verb)
        and _includes(rule.get("apiGroups"), request.group)
        and _includes(rule.get("apiVersions"), request.version.name)
        and scope in ("*", "Namespaced" if request.resource.namespaced else "Cluster")
        and any(_resource_matches(pattern, request) for pattern in rule.get("resources") or ())
    )


def _includes(allowed: list[str] | None, wanted: str) -> bool:
    return allowed is not None and ("*" in allowed or wanted in allowed)


def _resource_matches(pattern: str, request: WriteRequest) -> bool:
    resource, _, subresource = pattern.partition("/")
    if pattern == "*/*":
        return True
    return resource in ("*", request.plural) and (subresource == "*" or subresource == request.subresource)


def _object_matches(webhook: JsonObject, operation: Operation) -> bool:
    selector = webhook.get("objectSelector") or {}
    if not selector:
        return True
    candidates = [item for item in (operation.item, operation.old) if item]
    return any(selects(selector, item.get("metadata", {}).get("labels") or {}) for item in candidates)
