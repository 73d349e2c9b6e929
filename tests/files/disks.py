"""Disks with file systems of several kinds, made with their own tools, and what lies in them."""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

MIB = 1024 * 1024
GIB = 1024 * MIB
CROWD = 10_000
"""Files in one folder."""
YEAR_2001 = 1_000_000_000
ODD_NAMES = (b"two\nlines", b"\x1b[31mred", b"caf\xe9", b"with space", b"quote'\"\\", b"-dash")
"""Names that programs stumble over. What is in each is its own name."""


def make_tree(root: Path) -> None:
    """Files, folders and links, with odd names, modes and times, and some that a stranger's disk might have."""
    (root / "tree/sub/deep").mkdir(parents=True)
    generator = random.Random(11)  # noqa: S311 - test data, the same in every run
    (root / "tree/hello.txt").write_text("hello\n")
    (root / "tree/sub/large.bin").write_bytes(generator.randbytes(3 * MIB + 77))
    (root / "tree/sub/deep/empty").touch()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(root) + b"/tree/" + name)).write_bytes(name)
    (root / "tree/run").write_text("#!/bin/sh\n")
    (root / "tree/run").chmod(0o4755)
    os.link(root / "tree/hello.txt", root / "tree/sub/same")
    (root / "tree/inside").symlink_to("sub/large.bin")
    (root / "tree/out").symlink_to("/etc/passwd")
    (root / "tree/up").symlink_to("../../../etc/passwd")
    os.mkfifo(root / "tree/pipe")
    (root / "victim.bin").write_bytes(generator.randbytes(16 * MIB))
    (root / "way").symlink_to("/tree/sub")
    (root / "crowd").mkdir()
    for number in range(CROWD):
        (root / f"crowd/{number}").touch()
    for sparse, size in (("sparse", 64 * MIB), ("endless", 8 * GIB)):
        with (root / sparse).open("wb") as file:
            file.write(b"begin")
            file.seek(size - 3)
            file.write(b"end")
    for path in root.rglob("*"):
        os.utime(path, (YEAR_2001, YEAR_2001), follow_symlinks=False)


def make_plain_tree(root: Path) -> None:
    """What every file system can hold."""
    root.mkdir()
    generator = random.Random(12)  # noqa: S311 - as above
    (root / "hello.txt").write_text("hello\n")
    (root / "large.bin").write_bytes(generator.randbytes(2 * MIB + 5))


def make_ext4(image: Path, tree: Path) -> None:
    """A disk of 10 GiB that is one ext4 file system, with the label `data`."""
    options = ("-L", "data", "-J", "size=8", "-E", "lazy_itable_init=1")
    _run("mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", str(tree), str(image), "10G")


def make_partitioned(image: Path, tree: Path, folder: Path) -> None:
    """A disk with a partition table, an XFS and an NTFS file system."""
    sizes = (320 * MIB, 24 * MIB)
    xfs, ntfs = folder / "xfs", folder / "ntfs"
    listed = [f"{path.name} ---644 0 0 {path}" for path in sorted(tree.iterdir())]
    (folder / "prototype").write_text("\n".join(["none", "0 0", "d--755 0 0", *listed, "$", ""]))
    _run("truncate", "-s", str(sizes[0]), str(xfs))
    _run("mkfs.xfs", "-q", "-p", str(folder / "prototype"), str(xfs))
    _run("truncate", "-s", str(sizes[1]), str(ntfs))
    _run("mkntfs", "-q", "-Q", "-F", str(ntfs))
    for path in tree.iterdir():
        _run("ntfscp", "-q", str(ntfs), str(path), path.name)
    _run("truncate", "-s", str(sum(sizes) + 2 * MIB), str(image))
    table = f"label: gpt\nstart=2048, size={sizes[0] // 512}\nstart={2048 + sizes[0] // 512}, size={sizes[1] // 512}\n"
    _run("sfdisk", "-q", str(image), said=table)
    for source, at in ((xfs, MIB), (ntfs, MIB + sizes[0])):
        place = (f"of={image}", f"seek={at // MIB}", "bs=1M", "conv=sparse,notrunc")
        _run("dd", f"if={source}", *place, "status=none")


def make_closed(image: Path) -> None:
    """A disk with a partition that the guest has encrypted, and one that holds nothing that is known."""
    _run("truncate", "-s", str(12 * MIB), str(image))
    _run("sfdisk", "-q", str(image), said="label: gpt\nstart=2048, size=8192\nstart=10240, size=8192\n")
    # What LUKS begins with; the rest only matters to who has the passphrase.
    header = struct.pack(
        ">6sH32s32s32sII20s32sI40s",
        b"LUKS\xba\xbe",
        1,
        b"aes",
        b"xts-plain64",
        b"sha256",
        4096,
        64,
        b"",
        b"",
        1000,
        b"0a4bbd16-2b6a-4c0c-9c4b-2c1f4dd7b2a1",
    )
    with image.open("r+b") as disk:
        for at, content in ((1 * MIB, header), (5 * MIB, random.Random(13).randbytes(MIB))):  # noqa: S311 - as above
            disk.seek(at)
            disk.write(content)


def make_lvm(image: Path, tree: Path, folder: Path) -> None:
    """A disk with a guest's root on a logical volume; its table of mounts has the disk `data` at /srv."""
    root = folder / "guest"
    shutil.copytree(tree, root / "home")
    for name in ("bin", "etc", "srv"):
        (root / name).mkdir()
    (root / "etc/fstab").write_text("/dev/vg/root / ext4 defaults 0 1\nLABEL=data /srv ext4 defaults 0 2\n")
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian"\n')
    (root / "etc/debian_version").write_text("12.0\n")
    # Only a machine with a device mapper makes logical volumes: the appliance is one.
    script = f"""\
sparse {image} 96M
run
pvcreate /dev/sda
vgcreate vg /dev/sda
lvcreate root vg 64
mkfs ext4 /dev/vg/root
mount /dev/vg/root /
copy-in {" ".join(str(path) for path in sorted(root.iterdir()))} /
umount-all
"""
    _run("guestfish", said=script, LIBGUESTFS_BACKEND="direct", LIBGUESTFS_BACKEND_SETTINGS="force_tcg")


def _run(*command: str, said: str = "", **variables: str) -> None:
    done = subprocess.run(
        command, input=said, text=True, env=os.environ | variables, capture_output=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{command[0]}: {done.stderr}"
