"""PostgreSQL for guests: a disk with the server, its libraries and an empty cluster, which a guest mounts as /usr.

It is made of Debian's packages, once per machine, and kept beside the guest's image. Guests that need no PostgreSQL
carry nothing of it.
"""

import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from sandbox.guest import packages
from sandbox.guest.errors import ImageError
from sandbox.guest.image import host_program
from sandbox.guest.initramfs import shared_libraries

_log = logging.getLogger(__name__)
_MAJOR = "15"
_PACKAGES = (f"postgresql-{_MAJOR}", f"postgresql-client-{_MAJOR}")
_WITHOUT = frozenset({"libc6", "libllvm14"})
"""The C library is the host's, as everywhere in the guest; LLVM is for compiling queries, which is off."""
_LIBRARIES = "lib/x86_64-linux-gnu"
_PROGRAMS = f"lib/postgresql/{_MAJOR}"
_SHARED = f"share/postgresql/{_MAJOR}"
_NOBODY = 65534
"""initdb refuses to run as root."""
_SETTINGS = """
# The guest has no network and no time zones.
listen_addresses = ''
unix_socket_directories = '/run/postgresql'
timezone = GMT
log_timezone = GMT
max_connections = 20
shared_buffers = 16MB
jit = off
log_checkpoints = on
# So that no checkpoint happens by chance where the hook's is looked for.
checkpoint_timeout = 30min
"""


def postgresql_disk(cache: Path) -> Path:
    """An ext4 image for this machine, built at first use (about 20 s and a download of 40 MB).

    Its root is a folder /usr. Everything of PostgreSQL finds itself there, where Debian has it; an empty cluster, with
    checksums, lies in share/postgresql/15/cluster. The file is named by a digest of this module, which says what goes
    in: one that is there is taken without a look at apt, which takes seconds.
    """
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    image = cache / f"postgresql-{recipe[:16]}.ext4"
    if not image.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        _log.info("building the disk with PostgreSQL")
        # Not all in the cache, which may lie where only its owner comes: initdb runs as nobody.
        with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=cache) as near:
            root, built = _root(Path(scratch)), Path(near) / image.name
            options = ("-q", "-t", "ext4", "-O", "^has_journal", "-m", "0")
            _call(str(host_program("mke2fs", "e2fsprogs")), *options, "-d", str(root), str(built), _size(root))
            built.replace(image)
    return image


def _root(scratch: Path) -> Path:
    scratch.chmod(0o755)
    tree, root = scratch / "tree", scratch / "usr"
    packages.unpack(packages.with_libraries(*_PACKAGES, without=_WITHOUT), tree)
    shutil.copytree(tree / "usr" / _PROGRAMS, root / _PROGRAMS, ignore=shutil.ignore_patterns("bitcode", "llvmjit*"))
    shutil.copytree(tree / "usr" / _SHARED, root / _SHARED, ignore=shutil.ignore_patterns("man"))
    for folder in ("lib", "usr/lib"):
        found = tree / folder / Path(_LIBRARIES).name
        if found.is_dir():
            shutil.copytree(found, root / _LIBRARIES, symlinks=True, dirs_exist_ok=True)
    programs = sorted((root / _PROGRAMS / "bin").iterdir())
    (root / "bin").mkdir()
    for program in programs:
        (root / "bin" / program.name).symlink_to(f"../{_PROGRAMS}/bin/{program.name}")
    # Who starts the server and its clients needs the real one: busybox's cannot change users.
    setpriv = root / "bin" / "setpriv"
    shutil.copy(host_program("setpriv", "util-linux"), setpriv)
    _add_host_libraries([*programs, setpriv], root / _LIBRARIES)
    shutil.copytree(_cluster(scratch, root), root / _SHARED / "cluster")
    return root


def _add_host_libraries(programs: list[Path], libraries: Path) -> None:
    """The parts of the C library that the guest's other programs do not bring."""
    needed = {library for program in programs for library in shared_libraries(program, libraries)}
    for library in needed:
        if library.parent != libraries and not library.name.startswith("ld-"):
            shutil.copyfile(library, libraries / library.name)


def _cluster(scratch: Path, root: Path) -> Path:
    cluster = scratch / "cluster"
    cluster.mkdir(mode=0o700)
    user = []
    if os.geteuid() == 0:
        os.chown(cluster, _NOBODY, _NOBODY)
        user = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"]
    initdb = [str(root / _PROGRAMS / "bin/initdb"), "--pgdata", str(cluster), "--username=postgres", "--data-checksums"]
    initdb += ["--auth-local=peer", "--auth-host=reject", "--encoding=UTF8", "--locale=C", "--no-sync"]
    _call(*user, *initdb, LD_LIBRARY_PATH=str(root / _LIBRARIES), TZ="GMT")
    with (cluster / "postgresql.conf").open("a") as stream:
        stream.write(_SETTINGS)
    return cluster


def _size(root: Path) -> str:
    """What mke2fs is to make of the folder: its files, and a quarter more for blocks that are not full."""
    used = sum(path.lstat().st_size for path in root.rglob("*"))
    return f"{used * 5 // 4 // 1024}k"


def _call(*command: str, **environment: str) -> None:
    environment = {**os.environ, "LC_ALL": "C", **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise ImageError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-400:]}")
