"""Write docs/reference.md, every field of the six kinds, from the models in operator/safehold/api.

`--check` writes nothing and fails where the file differs from what would be written.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from generated_files import settle
from safehold.api.base import API_VERSION, CATEGORY
from safehold.api.kinds import KINDS, KindDefinition
from structural_schema import Schema, structural_schema

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"
_TOP = f"""\
# Field reference

All kinds are `{API_VERSION}`; `kubectl get {CATEGORY}` lists objects of all of them. `kubectl explain vmbackup.spec`
says in the terminal what stands here. **Bold** fields are required. Times are RFC 3339, sizes are bytes. Users write
`spec`; the operator alone writes `status`. Generated from `operator/safehold/api` by `make crds`.

KubeVirt gives its own kinds the short names `vmbackup` and `vmrestore`; kubectl prefers exact names, which are ours.
KubeVirt's are reached by `virtualmachinebackups` and `virtualmachinerestores`.
"""


def _kind_section(kind: KindDefinition) -> Iterator[str]:
    scope = "namespaced" if kind.namespaced else "cluster-scoped"
    schema = structural_schema(kind.model)
    yield f"\n## {kind.kind}\n\n{schema['description']} Short name `{kind.short_name}`, {scope}.\n"
    for part in ("spec", "status"):
        yield f"\n### {kind.kind} {part}\n\n{schema['properties'][part]['description']}\n"
        yield "\n| field | type | default | meaning |\n|---|---|---|---|\n"
        yield from _rows(schema["properties"][part], "")
        yield from _rules(schema["properties"][part], part)


def _rows(schema: Schema, path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        here = f"{path}{name}"
        shown = f"**`{here}`**" if name in schema.get("required", []) else f"`{here}`"
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
        meaning = " ".join(field["description"].split())
        yield f"| {shown} | {_type(field)} | {default} | {meaning} |\n"
        yield from _rows(field.get("items", field), f"{here}[]." if "items" in field else f"{here}.")


def _type(field: Schema) -> str:
    if "enum" in field:
        return " \\| ".join(field["enum"])
    if "items" in field:
        return f"list of {_type(field['items'])}, at most {field['maxItems']}"
    if "additionalProperties" in field:
        return f"map, at most {field['maxProperties']}"
    if field.get("format") == "date-time":
        return "time"
    return str(field["type"])


def _rules(schema: Schema, path: str) -> Iterator[str]:
    """The rules across fields, by their messages."""
    messages = list(_messages(schema, path))
    if messages:
        yield "\nRules:\n"
        yield from (f"- `{where}`: {message}\n" for where, message in messages)


def _messages(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield path, rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from _messages(field, f"{path}.{name}")
    if "items" in schema:
        yield from _messages(schema["items"], f"{path}[]")


def files() -> dict[Path, str]:
    """What docs/reference.md must hold."""
    return {PAGE: _TOP + "".join(line for kind in KINDS for line in _kind_section(kind))}


if __name__ == "__main__":
    sys.exit(settle(files(), check="--check" in sys.argv[1:]))
