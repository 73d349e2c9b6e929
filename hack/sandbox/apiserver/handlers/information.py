"""Paths that name no resource: health, version, discovery, OpenAPI, and the service accounts' issuer."""

from aiohttp import web

from sandbox.apiserver import discovery, openapi_protobuf, statuses
from sandbox.apiserver.aggregation import Aggregator
from sandbox.apiserver.calls import Call
from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.objects import encode_json
from sandbox.apiserver.openapi import OpenApiDocuments, index

_HEALTH = frozenset({"healthz", "readyz", "livez"})
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.2+sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-06-09T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
"""The release whose behaviour is imitated."""


class Information:
    """Answers of the non-resource paths."""

    def __init__(self, plane: ControlPlane, aggregator: Aggregator) -> None:
        self._plane = plane
        self._aggregator = aggregator
        self._documents = OpenApiDocuments(plane.registry)

    async def answer(self, call: Call) -> web.Response:
        """The document of the path; 404 in plain text, as from the real server, for others."""
        parts = [part for part in call.info.path.split("/") if part]
        if call.http.method not in ("GET", "HEAD"):
            raise statuses.ApiError(
                405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
            )
        match parts:
            case [head, *_] if head in _HEALTH:
                return web.Response(text="ok")
            case ["version"]:
                return call.respond(dict(VERSION))
            case ["api", *rest] | ["apis", *rest]:
                return self._discovery(call, parts[0], rest)
            case ["openapi", *rest]:
                return self._openapi(call, rest)
            case [".well-known", "openid-configuration"]:
                return call.respond(self._plane.tokens.discovery())
            case ["openid", "v1", "jwks"]:
                return call.respond(self._plane.tokens.key_set())
            case _:
                return _page_not_found()

    def _discovery(self, call: Call, root: str, rest: list[str]) -> web.Response:
        registry = self._plane.registry
        chosen = self._groups(root)
        if not rest:
            if "as=APIGroupDiscoveryList" in call.http.headers.get("Accept", ""):
                response = call.respond(discovery.aggregated(registry, chosen, self._aggregator.resources))
                response.headers["Content-Type"] = discovery.AGGREGATED
                return response
            return call.respond(
                discovery.api_versions(call.http.host) if root == "api" else discovery.api_groups(chosen)
            )
        group, version = ("", rest[0]) if root == "api" else (rest[0], rest[1] if len(rest) > 1 else "")
        if group not in chosen or (version and version not in chosen[group]):
            return _page_not_found()
        if not version:
            return call.respond(discovery.api_group(group, chosen[group]))
        known = self._aggregator.resources.get((group, version))
        return call.respond(known or discovery.api_resources(registry, group, version))

    def _groups(self, root: str) -> dict[str, list[str]]:
        """Group → versions under /api or /apis: this server's own, and those of aggregated servers."""
        groups = self._plane.registry.groups()
        for group, versions in self._aggregator.groups().items():
            own = groups.setdefault(group, [])
            own.extend(version for version in versions if version not in own)
        return {group: versions for group, versions in groups.items() if (group == "") == (root == "api")}

    def _openapi(self, call: Call, rest: list[str]) -> web.Response:
        match rest:
            case ["v3"]:
                return call.respond(index(self._plane.registry))
            case ["v3", "api", version]:
                text = self._documents.version_3("", version)
            case ["v3", "apis", group, version]:
                text = self._documents.version_3(group, version)
            case ["v2"]:
                return self._openapi_version_2(call)
            case _:
                text = None
        return call.respond_json(text) if text is not None else _page_not_found()

    def _openapi_version_2(self, call: Call) -> web.Response:
        accepted = call.http.headers.get("Accept", "*/*")
        if any(name in accepted for name in openapi_protobuf.ASKED_TYPES):
            body = self._documents.version_2(openapi_protobuf.encode_document)
            return web.Response(body=body, headers={"Content-Type": openapi_protobuf.MEDIA_TYPE})
        if "json" in accepted or "*/*" in accepted:
            return call.respond_json(self._documents.version_2(encode_json))
        raise statuses.not_acceptable(["application/json", openapi_protobuf.MEDIA_TYPE])


def _page_not_found() -> web.Response:
    return web.Response(status=404, text="404 page not found\n")
