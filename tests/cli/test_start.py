"""How a command starts."""

import subprocess
import sys

_TOLD = """
import sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from safehold.__main__ import main
sys.argv = ["safehold", "volume", "--help"]
try:
    main()
except SystemExit as ending:
    assert ending.code == 0
print(sum(name.endswith("pydantic/main.py") or "pydantic/__pycache__/main" in name for name in opened))
print(sum(name.endswith("entry_points.txt") for name in opened))
"""


def test_nobodys_plugins_are_looked_for() -> None:
    """Pydantic would ask each distribution that is installed for some, and let them change what a manifest means."""
    told = subprocess.run([sys.executable, "-c", _TOLD], capture_output=True, text=True, check=True).stdout
    assert told.split()[-2:] == ["1", "0"]
