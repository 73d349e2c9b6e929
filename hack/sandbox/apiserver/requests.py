"""What a request asks for: the parts of its path, its verb, and the options of a write."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sandbox.apiserver.auth.policy import Action
from sandbox.apiserver.auth.users import UserInfo
from sandbox.apiserver.registry import Resource, ResourceVersion
from sandbox.apiserver.store import Key

_METHOD_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """A request line taken apart by Kubernetes' URL scheme."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource in the path."""

    def action(self, verb: str = "") -> Action:
        """What RBAC decides on; with another verb than the request's own, where it needs that right too."""
        if not self.is_resource:
            return Action(verb=self.verb, path=self.path)
        return Action(
            verb=verb or self.verb,
            group=self.group,
            resource=self.resource,
            subresource=self.subresource,
            namespace=self.namespace,
            name=self.name,
        )


def parse_request(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Take a request line apart. Paths that name no resource are non-resource requests with the method as verb."""
    parts = [part for part in path.split("/") if part]
    plain = RequestInfo(path=path, verb=method.lower())
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return plain
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and not (group == "" and len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):
            rest = rest[2:]
    info = replace(
        plain,
        is_resource=True,
        group=group,
        version=version,
        namespace=namespace,
        resource=rest[0],
        name=rest[1] if len(rest) > 1 else "",
        subresource=rest[2] if len(rest) > 2 else "",
        rest="/".join(rest[3:]),
    )
    return replace(info, verb=_verb(method, info, query))


def _verb(method: str, info: RequestInfo, query: Mapping[str, str]) -> str:
    if method in ("GET", "HEAD"):
        if info.name:
            return "get"
        return "watch" if query.get("watch") in ("1", "true", "") and "watch" in query else "list"
    if method == "DELETE" and not info.name:
        return "deletecollection"
    return _METHOD_VERBS.get(method, method.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """A write of one object: where, by whom, and how."""

    resource: Resource
    version: ResourceVersion
    namespace: str
    name: str
    user: UserInfo
    manager: str
    now: datetime
    subresource: str = ""
    dry_run: bool = False
    field_validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)
    """Sentences for `Warning` headers, collected on the way."""

    @property
    def api_version(self) -> str:
        """`group/version` of the request."""
        return self.resource.api_version(self.version.name)

    @property
    def group(self) -> str:
        """The resource's group."""
        return self.resource.group

    @property
    def plural(self) -> str:
        """The resource's name."""
        return self.resource.plural

    def key(self, name: str = "") -> Key:
        """Where the object lies in the store."""
        return Key(*self.resource.store_key, self.namespace if self.resource.namespaced else "", name or self.name)
