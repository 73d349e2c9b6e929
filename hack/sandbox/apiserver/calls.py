"""One HTTP request on its way through the server, and the answers to it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml
from aiohttp import web

from sandbox.apiserver import protobuf, statuses
from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.objects import JsonObject, encode_json
from sandbox.apiserver.registry import Resource, ResourceVersion
from sandbox.apiserver.requests import RequestInfo, WriteRequest

_BODY_TYPES = ("application/json", "application/yaml", protobuf.MEDIA_TYPE)
_DECODERS: dict[str, Callable[[bytes], Any]] = {
    protobuf.MEDIA_TYPE: protobuf.decode_object,
    "application/yaml": yaml.safe_load,
    "application/apply-patch+yaml": yaml.safe_load,
}
"""Everything else is JSON."""
_DEFAULT_MANAGER = "unknown"


@dataclass(slots=True, kw_only=True)
class Call:
    """A request with what was found out about it."""

    plane: ControlPlane
    http: web.Request
    info: RequestInfo
    now: datetime
    user: UserInfo
    warnings: list[str] = field(default_factory=list)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of repeated ones the last."""
        return dict(self.http.query)

    def flag(self, name: str) -> bool:
        """A boolean parameter of the query."""
        return self.http.query.get(name, "").lower() in ("1", "true")

    def target(self) -> tuple[Resource, ResourceVersion]:
        """The resource that the path names; 404 if there is none."""
        found = self.plane.registry.served(self.info.group, self.info.version, self.info.resource)
        if found is None:
            raise statuses.no_such_resource()
        resource, version = found
        if version.deprecation:
            self.warnings.append(version.deprecation)
        return resource, version

    def write_request(self, resource: Resource, version: ResourceVersion) -> WriteRequest:
        """The options of a write."""
        validation = self.http.query.get("fieldValidation") or "Warn"
        if validation not in ("Strict", "Warn", "Ignore"):
            raise statuses.bad_request(f'fieldValidation: Unsupported value: "{validation}"')
        return WriteRequest(
            resource=resource,
            version=version,
            namespace=self.info.namespace if resource.namespaced else "",
            name=self.info.name,
            subresource=self.info.subresource,
            user=self.user,
            manager=self.http.query.get("fieldManager") or self._agent(),
            now=self.now,
            dry_run=self._dry_run(),
            field_validation=validation,
            warnings=self.warnings,
        )

    def _agent(self) -> str:
        agent = self.http.headers.get("User-Agent", "").partition("/")[0]
        return agent[:128] or _DEFAULT_MANAGER

    def _dry_run(self) -> bool:
        wanted = self.http.query.getall("dryRun", [])
        if any(value != "All" for value in wanted):
            raise statuses.bad_request(f'dryRun: Unsupported value: "{wanted[0]}": supported values: "All"')
        return bool(wanted)

    async def body(self, *accepted: str) -> Any:
        """The decoded body, JSON or YAML; None if it is empty."""
        media = self.http.content_type
        raw = await self.http.read()
        if not raw:
            return None
        if media not in (accepted or _BODY_TYPES) and self.http.headers.get("Content-Type"):
            raise statuses.unsupported_media(media, accepted or _BODY_TYPES)
        try:
            return _DECODERS.get(media, json.loads)(raw)
        except (ValueError, yaml.YAMLError) as error:
            raise statuses.bad_request(f"couldn't get version/kind; json parse error: {error}") from error

    def respond(self, document: JsonObject, status: int = 200) -> web.Response:
        """The document as JSON, or as YAML for a client that wants only that."""
        if "application/yaml" in self.http.headers.get("Accept", ""):
            text = yaml.safe_dump(document, sort_keys=True).encode()
            return web.Response(body=text, status=status, content_type="application/yaml")
        return self.respond_json(encode_json(document), status)

    def respond_json(self, text: bytes, status: int = 200) -> web.Response:
        """A JSON text, with the warnings of the call."""
        response = web.Response(body=text, status=status, content_type="application/json")
        self.add_warnings(response)
        return response

    def add_warnings(self, response: web.StreamResponse) -> None:
        """Put the call's warnings into headers, each once."""
        for warning in dict.fromkeys(self.warnings):
            escaped = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
            response.headers.add("Warning", f'299 - "{escaped}"')
