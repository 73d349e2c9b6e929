"""Write crds/ from the models in operator/safehold/api, one CustomResourceDefinition per kind.

`--check` writes nothing and fails where a file differs from what would be written.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from generated_files import settle
from safehold.api.base import CATEGORY, GROUP, VERSION
from safehold.api.kinds import KINDS, Column, KindDefinition
from structural_schema import structural_schema

CRDS = Path(__file__).parent.parent / "crds"
CHART = Path(__file__).parent.parent / "charts" / "safehold" / "files" / "crds"
"""The chart's own copy: Helm packs a chart's folder and nothing beside it."""
_HEADER = "# Generated from operator/safehold/api by `make crds`.\n"


class _Dumper(yaml.SafeDumper):
    """YAML for people: no anchors, and paragraphs as blocks."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def definition(kind: KindDefinition) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.definition_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                }
            ],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return shown | ({"priority": 1} if column.wide else {})


def _root_schema(kind: KindDefinition) -> dict[str, Any]:
    """Only spec and status are ours: the API server itself defines and checks apiVersion, kind and metadata."""
    schema = structural_schema(kind.model)
    own = {name: schema["properties"][name] for name in ("spec", "status")}
    foreign = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    return schema | {"properties": foreign | own}


def files(folder: Path) -> dict[Path, str]:
    """What crds/, or its copy in the chart, must hold."""
    return {
        folder / f"{GROUP}_{kind.plural}.yaml": _HEADER
        + yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for kind in KINDS
    }


if __name__ == "__main__":
    only_compare = "--check" in sys.argv[1:]
    sys.exit(max(settle(files(folder), folder=folder, check=only_compare) for folder in (CRDS, CHART)))
