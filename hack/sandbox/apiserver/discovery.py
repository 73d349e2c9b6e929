"""Which groups, versions and resources there are: /api, /apis, /apis/GROUP, /apis/GROUP/VERSION, and all at once."""

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.registry import Registry, Resource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def api_versions(address: str) -> JsonObject:
    """The document of /api: versions of the core group."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def api_groups(groups: dict[str, list[str]]) -> JsonObject:
    """The document of /apis."""
    named = [api_group(group, versions) for group, versions in groups.items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}


def api_group(group: str, versions: list[str]) -> JsonObject:
    """The document of /apis/GROUP, and an item of that of /apis."""
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": group,
        "versions": entries,
        "preferredVersion": entries[0],
    }


def api_resources(registry: Registry, group: str, version: str) -> JsonObject:
    """The document of /apis/GROUP/VERSION (or /api/v1): resources and subresources."""
    resources = []
    for resource in registry.in_version(group, version):
        resources.append(_entry(resource))
        resources += [_subentry(resource, name, verbs) for name, verbs in sorted(resource.subresources.items())]
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _entry(resource: Resource) -> JsonObject:
    entry: JsonObject = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry


def _subentry(resource: Resource, name: str, verbs: tuple[str, ...]) -> JsonObject:
    group, version, kind = _subresource_kind(resource, name)
    entry: JsonObject = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }
    return entry | ({"group": group, "version": version} if group else {})


def _subresource_kind(resource: Resource, name: str) -> tuple[str, str, str]:
    if name == "token":
        return "authentication.k8s.io", "v1", "TokenRequest"
    if name == "scale":
        return "autoscaling", "v1", "Scale"
    if name == "binding":
        return "", "", "Binding"
    return "", "", resource.kind


def aggregated(
    registry: Registry, groups: dict[str, list[str]], others: dict[tuple[str, str], JsonObject]
) -> JsonObject:
    """All groups with their resources in one document; `others` has the resource lists of aggregated servers."""
    items = []
    for group, versions in groups.items():
        entries = [
            _foreign_version(group, version, others[group, version])
            if (group, version) in others
            else _aggregated_version(registry, group, version)
            for version in versions
        ]
        items.append({"metadata": {"name": group} if group else {}, "versions": entries})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_version(registry: Registry, group: str, version: str) -> JsonObject:
    resources = [_aggregated_resource(resource, version) for resource in registry.in_version(group, version)]
    return {"version": version, "freshness": "Current", "resources": resources}


def _foreign_version(group: str, version: str, document: JsonObject) -> JsonObject:
    resources: dict[str, JsonObject] = {}
    for entry in document["resources"]:
        plural, _, subresource = entry["name"].partition("/")
        kind = {"group": entry.get("group") or group, "version": entry.get("version") or version, "kind": entry["kind"]}
        scope = "Namespaced" if entry.get("namespaced") else "Cluster"
        # A server of subresources only has no entry for the resource itself, and clients need none of its verbs.
        owner = resources.setdefault(plural, {"resource": plural, "scope": scope, "singularResource": "", "verbs": []})
        if subresource:
            verbs = list(entry.get("verbs") or ())
            owner.setdefault("subresources", []).append(
                {"subresource": subresource, "responseKind": kind, "verbs": verbs}
            )
        else:
            owner |= {"responseKind": kind, "verbs": list(entry.get("verbs") or ())}
            owner["singularResource"] = entry.get("singularName", "")
    return {"version": version, "freshness": "Current", "resources": list(resources.values())}


def _aggregated_resource(resource: Resource, version: str) -> JsonObject:
    entry: JsonObject = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            _aggregated_subresource(resource, version, name, verbs)
            for name, verbs in sorted(resource.subresources.items())
        ]
    return entry


def _aggregated_subresource(resource: Resource, version: str, name: str, verbs: tuple[str, ...]) -> JsonObject:
    group, own_version, kind = _subresource_kind(resource, name)
    response = {"group": group or resource.group, "version": own_version or version, "kind": kind}
    return {"subresource": name, "responseKind": response, "verbs": list(verbs)}
