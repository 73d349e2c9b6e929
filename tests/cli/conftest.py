"""A shell of somebody who uses a repository on a real S3 server."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.objectstore.server import ObjectStore


@dataclass
class Shell:
    """A shell of somebody who uses a repository."""

    folder: Path
    store: ObjectStore
    variables: dict[str, str]

    def __call__(self, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run `safehold`, and check its exit code, that it tells no secret, and that a failure is one sentence."""
        done = subprocess.run(
            [sys.executable, "-m", "safehold", *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)} | self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert self.store.admin.secret_key not in done.stdout + done.stderr
        if code == 1 and "--debug" not in arguments:
            assert done.stderr.startswith("Error: ")
            assert done.stderr.count("\n") == 1
        return done

    def volume(self, *arguments: str, code: int = 0, prefix: str = "repository") -> "subprocess.CompletedProcess[str]":
        """Run `safehold volume …` against the repository."""
        place = ("--repository", f"s3://cli/{self.folder.name}/{prefix}", "--endpoint-url", self.store.endpoint_url)
        return self("volume", *arguments, *place, code=code)

    def repo(self, verb: str, *arguments: str, code: int = 0, prefix: str = "repository") -> Any:
        """Run `safehold repo VERB … --output json`, and return the JSON, or what was said where there is none."""
        done = self.repo_text(verb, *arguments, "--output", "json", code=code, prefix=prefix)
        return json.loads(done.stdout) if done.stdout else done.stderr

    def repo_text(
        self, verb: str, *arguments: str, code: int = 0, prefix: str = "repository"
    ) -> "subprocess.CompletedProcess[str]":
        """Run `safehold repo VERB …` against the repository."""
        place = ("--repository", f"s3://cli/{self.folder.name}/{prefix}", "--endpoint-url", self.store.endpoint_url)
        return self("repo", verb, *arguments, *place, code=code)

    def backup(self, disk: str, *, vm: str = "db", code: int = 0) -> dict[str, object]:
        """Back up a disk and return the JSON."""
        done = self.volume("backup", disk, "--vm", vm, "--volume", "root", "--output", "json", code=code)
        result = json.loads(done.stdout)
        assert isinstance(result, dict)
        return result


@pytest.fixture
def shell(tmp_path: Path, object_store: ObjectStore) -> Shell:
    """With a key file, credentials in the environment, and a disk."""
    object_store.create_bucket("cli")
    (tmp_path / "disk").write_bytes(os.urandom(1_000_000) + bytes(5_000_000))
    shell = Shell(tmp_path, object_store, {})
    shell("key", "new", "--output-file", "key")
    shell.variables = {
        "SAFEHOLD_KEY_FILE": str(tmp_path / "key"),
        "AWS_ACCESS_KEY_ID": object_store.admin.access_key,
        "AWS_SECRET_ACCESS_KEY": object_store.admin.secret_key,
    }
    return shell
