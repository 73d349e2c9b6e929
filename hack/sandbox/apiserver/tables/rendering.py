"""A Table of objects."""

from datetime import datetime

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.registry import Resource, ResourceVersion
from sandbox.apiserver.tables.builtin import BUILTIN_COLUMNS
from sandbox.apiserver.tables.columns import AGE, NAME, Column, printer_column


def table_of(
    resource: Resource,
    version: ResourceVersion,
    documents: list[JsonObject],
    metadata: JsonObject,
    include: str,
    now: datetime,
) -> JsonObject:
    """The objects as rows. `include` is None, Metadata or Object: what comes along with each row."""
    columns = _columns(resource, version)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [_row(columns, document, include, now) for document in documents],
    }


def _columns(resource: Resource, version: ResourceVersion) -> tuple[Column, ...]:
    if resource.custom:
        return (NAME, *(printer_column(column) for column in version.columns))
    return BUILTIN_COLUMNS.get((resource.group, resource.kind), (NAME, AGE))


def _row(columns: tuple[Column, ...], document: JsonObject, include: str, now: datetime) -> JsonObject:
    row: JsonObject = {"cells": [column.cell(document, now) for column in columns]}
    if include == "Object":
        row["object"] = document
    elif include != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": document["metadata"],
        }
    return row
