"""Write docs/reasons.md from safehold.reasons, whose members' docstrings are the explanations.

`--check` writes nothing and fails where the file differs from what would be written.
"""

import ast
import inspect
import sys
from pathlib import Path

from generated_files import settle
from safehold import reasons
from safehold.reasons import Reason

PAGE = Path(__file__).parent.parent / "docs" / "reasons.md"
_TOP = """\
# Reasons

Every condition, event and failure of Safehold carries one of these words. They are never renamed, so automation can
match on them; the message beside a reason says what was found and what to do. Generated from
`operator/safehold/reasons.py` by `make crds`.

| reason | meaning |
|---|---|
"""


def explanations() -> dict[Reason, str]:
    """The docstring below each member, in one line; a member without one is an error."""
    (enumeration,) = [node for node in ast.parse(inspect.getsource(reasons)).body if isinstance(node, ast.ClassDef)]
    found: dict[Reason, str] = {}
    for member, below in zip(enumeration.body, enumeration.body[1:], strict=False):
        match member, below:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                found[Reason[name]] = " ".join(text.split())
    missing = [reason.value for reason in Reason if reason not in found]
    if missing:
        raise ValueError(f"no docstring below {', '.join(missing)} in safehold/reasons.py")
    return found


def files() -> dict[Path, str]:
    """What docs/reasons.md must hold, in alphabetical order."""
    rows = sorted(f"| `{reason.value}` | {text} |\n" for reason, text in explanations().items())
    return {PAGE: _TOP + "".join(rows)}


if __name__ == "__main__":
    sys.exit(settle(files(), check="--check" in sys.argv[1:]))
