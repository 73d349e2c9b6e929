"""Write the Python code of the SnapshotMetadata messages from its schema.proto.

`--check` writes nothing and fails where the files differ from what would be written.
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

from generated_files import settle

_ROOT = Path(__file__).parent.parent / "operator"
SCHEMA = _ROOT / "safehold" / "engine" / "changed_blocks" / "snapshot_metadata" / "schema.proto"


def files() -> dict[Path, str]:
    """What protoc makes of the schema: the messages, and their types for mypy."""
    names = ("schema_pb2.py", "schema_pb2.pyi")
    with tempfile.TemporaryDirectory() as folder:
        # The path below the root is the file's name among all messages of the process.
        arguments = ("protoc", f"-I{_ROOT}", f"--python_out={folder}", f"--pyi_out={folder}", str(SCHEMA))
        if protoc.main(arguments) != 0:
            raise ValueError(f"protoc refuses {SCHEMA}; see its complaint above")
        made = Path(folder) / SCHEMA.parent.relative_to(_ROOT)
        return {SCHEMA.with_name(name): (made / name).read_text() for name in names}


if __name__ == "__main__":
    sys.exit(settle(files(), check="--check" in sys.argv[1:]))
