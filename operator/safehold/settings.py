"""What the environment says to the worker. Settings modules read it, and click where an option names a variable."""

from pathlib import Path
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """A worker's environment. Each variable is the field's name after `SAFEHOLD_`."""

    model_config = SettingsConfigDict(env_prefix="SAFEHOLD_", frozen=True, use_attribute_docstrings=True)

    run_folder: Path | None = None
    """The folder with the run and its secret files; absent: where a Job mounts it."""
    termination_log: Path = Path("/dev/termination-log")
    """Where the kubelet looks for the report."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe messages of the log."""
