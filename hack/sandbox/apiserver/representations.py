"""The forms in which a client may ask for objects: whole, as a Table for people, or their metadata only."""

import re
from dataclasses import dataclass
from typing import Literal

from sandbox.apiserver.calls import Call
from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.registry import Resource, ResourceVersion
from sandbox.apiserver.tables import table_of

_TRANSFORM = re.compile(r"(?:^|;)\s*as=([A-Za-z]+)")
Form = Literal["plain", "table", "metadata"]


@dataclass(frozen=True, slots=True)
class Representation:
    """How to render the objects of one resource for one client."""

    form: Form
    resource: Resource
    version: ResourceVersion
    include: str
    call: Call

    @property
    def is_plain(self) -> bool:
        """Whole objects."""
        return self.form == "plain"

    def of_list(self, documents: list[JsonObject], metadata: JsonObject, *, single: bool = False) -> JsonObject:
        """A list (or, in a Table or as `single`, one object) in this form."""
        if self.form == "table":
            return table_of(self.resource, self.version, documents, metadata, self.include, self.call.now)
        if self.form == "metadata":
            partials = [_partial(document) for document in documents]
            if single:
                return partials[0]
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": partials,
            }
        if single:
            return documents[0]
        api_version = self.resource.api_version(self.version.name)
        return {"kind": self.resource.list_kind, "apiVersion": api_version, "metadata": metadata, "items": documents}

    def of_object(self, document: JsonObject) -> JsonObject:
        """One object in this form, as a watch sends it."""
        revision = document["metadata"].get("resourceVersion", "")
        return self.of_list([document], {"resourceVersion": revision}, single=True)


def _partial(document: JsonObject) -> JsonObject:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": document["metadata"]}


def negotiate(call: Call, resource: Resource, version: ResourceVersion) -> Representation:
    """The first form of the Accept header that this server knows."""
    form: Form = "plain"
    for offer in call.http.headers.get("Accept", "").split(","):
        transform = _TRANSFORM.search(offer)
        if "protobuf" in offer or "cbor" in offer:
            continue
        if transform and transform[1] == "Table":
            form = "table"
        elif transform and transform[1].startswith("PartialObjectMetadata"):
            form = "metadata"
        break
    return Representation(form, resource, version, call.http.query.get("includeObject", "Metadata"), call)
