"""Files that are generated and committed: write them, or say which are out of date."""

import sys
from collections.abc import Mapping
from pathlib import Path


def settle(files: Mapping[Path, str], *, folder: Path | None = None, check: bool) -> int:
    """Write the files, or with `check` only compare; in a `folder` of ours, YAML files beside them are stale.

    Returns the exit code: 1 if `check` found a difference.
    """
    stale = set(folder.glob("*.yaml")) - set(files) if folder else set()
    changed = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    if check:
        for path in sorted([*changed, *stale]):
            print(f"{path.name} is out of date; run make crds", file=sys.stderr)
        return 1 if changed or stale else 0
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
        print(f"wrote {path.name}")
    for path in stale:
        path.unlink()
        print(f"removed {path.name}")
    return 0
