"""`safehold repo`: a repository by itself, on a real S3 server, with nothing but bucket and key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def objects(shell: Shell, folder: str) -> list[str]:
    """The names of the repository's objects below a folder."""
    prefix = f"{shell.folder.name}/repository/"
    found = (
        shell.store.client(shell.store.admin).list_objects_v2(Bucket="cli", Prefix=prefix + folder).get("Contents", [])
    )
    return [each["Key"].removeprefix(prefix) for each in found]


def test_a_repository_is_laid_out_once(shell: Shell) -> None:
    """The first time says what was made, the second that it was there, and both name the same repository."""
    first, second = shell.repo("init"), shell.repo("init")
    assert (first["created"], second["created"]) == (True, False)
    assert first["repository"] == second["repository"]
    assert shell.repo("points") == []
    shell("key", "new", "--output-file", "other")
    assert "made with another key" in shell.repo("init", "--key-file", "other", code=1)


def test_the_keys_of_a_domain_are_made_beforehand(shell: Shell) -> None:
    """So that the first backup of many at once finds them."""
    shell.repo("init", "--key-domain", "target", "--key-domain", "namespace/3f1c")
    assert len(objects(shell, "keys/target/")) == 1
    assert len(objects(shell, "keys/namespace-3f1c/")) == 1


def test_a_place_with_something_else_is_refused(shell: Shell) -> None:
    """Nobody's photographs become part of a repository."""
    shell.store.client(shell.store.admin).put_object(
        Bucket="cli", Key=f"{shell.folder.name}/repository/photo.jpg", Body=b"x"
    )
    assert "holds something else" in shell.repo("init", code=1)
    assert objects(shell, "") == ["photo.jpg"]


def test_points_are_listed_and_forgotten(shell: Shell) -> None:
    """By VM, newest first; what is forgotten must exist, and a dry run forgets nothing."""
    first, second = shell.backup("disk"), shell.backup("disk")
    shell.backup("disk", vm="web")
    found = shell.repo("points", "--vm", "db")
    assert [point["restorePoint"] for point in found] == [second["restorePoint"], first["restorePoint"]]
    assert found[0]["parent"] == first["restorePoint"]
    assert found[0]["volumes"][0]["sizeBytes"] == 6_000_000
    unknown = "00" * 8 + "-000001-" + "00" * 8
    assert "nothing was forgotten" in shell.repo("forget", str(first["restorePoint"]), unknown, code=1)
    shell.repo("forget", str(first["restorePoint"]), "--dry-run")
    assert len(shell.repo("points")) == 3
    (forgotten,) = shell.repo("forget", str(first["restorePoint"]))
    assert (forgotten["restorePoint"], forgotten["forgotten"]) == (first["restorePoint"], True)
    assert [point["vm"] for point in shell.repo("points")] in (["db", "web"], ["web", "db"])
    assert "no other restore point" in shell.repo_text("forget", str(second["restorePoint"])).stdout


def test_a_sound_repository_passes_and_a_damaged_one_fails(shell: Shell) -> None:
    """Exit code 1, what is damaged, and which ranges of which volumes cannot be restored."""
    point = shell.backup("disk")["restorePoint"]
    for arguments in ([], ["--read-data"], ["--read-data", "50%"]):
        assert shell.repo("check", *arguments)["sound"] is True
    (pack,) = objects(shell, "packs/")
    key = f"{shell.folder.name}/repository/{pack}"
    body = bytearray(shell.store.client(shell.store.admin).get_object(Bucket="cli", Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    shell.store.client(shell.store.admin).put_object(Bucket="cli", Key=key, Body=bytes(body))
    assert shell.repo("check")["sound"] is True
    found = shell.repo("check", "--read-data", code=1)
    (domain,) = found["keyDomains"]
    assert pack in domain["damages"][0]
    assert {loss["point"] for loss in domain["losses"]} == {point}
    shown = shell.repo_text("check", "--read-data", code=1)
    assert pack in shown.stdout
    assert "1 restore points hit" in shown.stderr


def test_a_lost_index_is_repaired(shell: Shell) -> None:
    """Only when it is asked for, and only then the exit code is 0 again."""
    shell.backup("disk")
    (segment,) = objects(shell, "index/")
    shell.store.client(shell.store.admin).delete_object(Bucket="cli", Key=f"{shell.folder.name}/repository/{segment}")
    assert shell.repo("check", code=1)["keyDomains"][0]["indexDamaged"] is True
    assert shell.repo("check", "--repair-index")["sound"] is True
    assert shell.repo("check", "--read-data")["sound"] is True


def test_numbers_tell_what_deduplication_saves(shell: Shell) -> None:
    """Two points of one disk are twice the logical bytes and hardly more stored ones."""
    shell.backup("disk")
    shell.backup("disk")
    (found,) = shell.repo("stats")
    assert (found["points"], found["vms"], found["logicalBytes"]) == (2, 1, 12_000_000)
    assert 1_000_000 < found["liveBytes"] < 1_200_000
    assert found["deduplication"] > 10
    assert found["objects"] == sum(
        len(objects(shell, f"{each}/target")) for each in ("keys", "packs", "index", "points")
    )
    assert "deduplicated" in shell.repo_text("stats").stdout


def test_maintenance_runs_beside_what_is_young(shell: Shell) -> None:
    """Prune and compact leave alone what a run may still be writing, and say so in JSON and in text."""
    shell.backup("disk")
    (shell.folder / "disk").write_bytes(os.urandom(1_000_000))
    shell.repo("forget", str(shell.backup("disk", vm="gone")["restorePoint"]))
    for verb in ("prune", "compact"):
        (found,) = shell.repo(verb, "--dry-run")
        assert (found["domain"], found["dryRun"], found["condemnedPacks"]) == ("target", True, 0)
        (found,) = shell.repo(verb)
        assert (found["dryRun"], found["condemnedPacks"]) == (False, 0)
        assert "Key domain target" in shell.repo_text(verb).stdout
    assert shell.repo("check", "--read-data")["sound"] is True


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["check", "--read-data", "0"], 2, "not a percentage"),
        (["forget"], 2, "POINT"),
        (["forget", "x"], 1, "is not the id of a restore point"),
        (["points", "--key-domain", "namespace/unknown"], 1, "has no key domain"),
        (["points", "--key-domain", "x/../y"], 2, "key domain is malformed"),
    ],
)
def test_mistakes_get_a_clear_answer(shell: Shell, arguments: list[str], code: int, said: str) -> None:
    """1 for a failure, 2 for wrong usage."""
    shell.repo("init")
    assert said in shell.repo_text(*arguments, code=code).stderr


def test_no_repository_is_told(shell: Shell) -> None:
    """A wrong prefix is no empty repository."""
    assert "no repository at this place" in shell.repo("points", code=1, prefix="elsewhere")


def test_points_are_copied_to_another_repository(shell: Shell) -> None:
    """Under another key, once, and restored from there with that key alone."""
    point = str(shell.backup("disk")["restorePoint"])
    shell("key", "new", "--output-file", "other")
    to = ("--to", f"s3://cli/{shell.folder.name}/copy", "--to-key-file", "other")
    (copied,) = shell.repo("copy", *to)
    assert (copied["source"], copied["new"]) == (point, True)
    (again,) = shell.repo("copy", point, *to)
    assert (again["copy"], again["new"], again["bytesStored"]) == (copied["copy"], False, 0)
    arguments = ("--restore-point", copied["copy"], "--key-file", "other")
    shell.volume("restore", "new", *arguments, prefix="copy")
    assert (shell.folder / "new").read_bytes() == (shell.folder / "disk").read_bytes()
    unknown = "00" * 8 + "-000001-" + "00" * 8
    assert "nothing was copied" in shell.repo("copy", unknown, *to, code=1)
    itself = ("--to", f"s3://cli/{shell.folder.name}/repository", "--to-key-file", "key")
    assert "is this one" in shell.repo("copy", *itself, code=2)
    assert "was there" in shell.repo_text("copy", *to).stdout
