"""The names of objects below a repository's prefix (docs/format.md, section 2)."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from safehold.errors import IntegrityError, PointError, UsageError

README = "README.v1.md"
FORMAT = "format.v1.md"
RESCUE = "rescue.v1.py"
PLAIN_TEXTS = ("README.", "format.", "rescue.")
"""How the names of objects begin that are not sealed, in every version."""
CHECKSUMS = "checksums/"
KEYS = "keys/"
SCOPED_FOLDERS = ("keys", "packs", "index", "points", "holds", "condemned")
"""Where the objects of a key domain are, each in the folder with the domain's word."""
REPOSITORY_SCOPE = "repository"
_LAST_SEQUENCE = 999_999
_LAST_SECOND = 9_999_999_999
"""Of Unix time. What is subtracted from it sorts with the newest first, so that one LIST of a page finds that."""
_DOMAIN = re.compile(r"target|namespace/[A-Za-z0-9][A-Za-z0-9.-]{0,62}")
_PACK_ID = re.compile(r"[0-9a-f]{64}")
_POINT = re.compile(r"(?P<owner>[0-9a-f]{16})-(?P<sequence>\d{6})-(?P<unique>[0-9a-f]{16})")
_HOLD = re.compile(rf"holds/[^/]+/(?P<point>{_POINT.pattern})-[0-9a-f]{{16}}")
_POINT_OBJECT = re.compile(r"points/[^/]+/(?P<owner>[0-9a-f]{16})/(?P<order>\d{6})-(?P<unique>[0-9a-f]{16})")


def scope_of_domain(domain: str) -> str:
    """The folder word of a key domain: `target`, or `namespace-<uid>` for `namespace/<uid>`."""
    if not _DOMAIN.fullmatch(domain):
        raise UsageError("The key domain is malformed", expected="target or namespace/<uid>", found=repr(domain))
    return domain.replace("/", "-")


def domain_of_scope(scope: str) -> str:
    """The key domain whose folder word this is."""
    return scope.replace("namespace-", "namespace/", 1) if scope.startswith("namespace-") else scope


def key_sets(scope: str) -> str:
    """The folder of a scope's key sets."""
    return f"keys/{scope}/"


def key_set(scope: str, generation: int, key_set_id: bytes, recipient: str) -> str:
    """One key set, wrapped for one recipient."""
    return f"keys/{scope}/{generation:04d}-{key_set_id.hex()}/{recipient}"


def pack(scope: str, pack_id: bytes) -> str:
    """A pack; its id is its salt."""
    return f"packs/{scope}/{pack_id[:1].hex()}/{pack_id.hex()}"


def segments(scope: str) -> str:
    """The folder of a domain's index segments."""
    return f"index/{scope}/"


def run_segments(scope: str) -> str:
    """The folder of the segments that runs write, newest first."""
    return segments(scope) + "runs/"


def fold_segments(scope: str) -> str:
    """The folder of the segments that maintenance makes of others, newest first."""
    return segments(scope) + "folds/"


def new_segment(folder: str, made: datetime, run_id: str = "") -> str:
    """A name in one of the two folders that no other segment has. The time is an order for readers, nothing more."""
    tag = run_tag(run_id) if run_id else secrets.token_hex(4)
    return f"{folder}{_LAST_SECOND - int(made.timestamp()):010d}-{tag}{secrets.token_hex(4)}"


def is_segment_of_run(name: str, run_id: str) -> bool:
    """Whether an attempt of this run wrote the segment."""
    return bool(run_id) and name.rpartition("-")[2].startswith(run_tag(run_id))


def checksums_of(texts: dict[str, bytes]) -> str:
    """How the names begin of sealed checksums that were written with these plain-text objects."""
    said = b"".join(hashlib.sha256(name.encode() + b"\0" + texts[name]).digest() for name in sorted(texts))
    return f"{CHECKSUMS}{hashlib.sha256(said).digest()[:8].hex()}-"


def new_checksums(beginning: str) -> str:
    """A new name that begins so."""
    return beginning + secrets.token_hex(8)


def condemned(scope: str) -> str:
    """The folder of a domain's condemned lists."""
    return f"condemned/{scope}/"


def new_condemned(scope: str, made: datetime) -> str:
    """A name that no other condemned list has; older ones sort first."""
    return f"{condemned(scope)}{made.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


def holds(scope: str) -> str:
    """The folder of a domain's holds."""
    return f"holds/{scope}/"


def holds_of(scope: str, point: str) -> str:
    """How the names of the holds of a point begin."""
    return f"{holds(scope)}{point}-"


def new_hold(scope: str, point: str) -> str:
    """A name that no other hold of the point has."""
    return holds_of(scope, point) + secrets.token_hex(8)


def point_of_hold(name: str) -> str:
    """The point that the hold of this name is of; IntegrityError if it is not the name of a hold."""
    match = _HOLD.fullmatch(name)
    if match is None:
        raise IntegrityError(f"{name} is not the name of a hold", remedy="remove what does not belong here")
    return match["point"]


def packs(scope: str) -> str:
    """The folder of a domain's packs."""
    return f"packs/{scope}/"


def pack_of_object(name: str) -> bytes | None:
    """The id of the pack that has this name, or None if it is not the name of a pack."""
    folder, _, last = name.rpartition("/")
    return bytes.fromhex(last) if _PACK_ID.fullmatch(last) and folder.endswith("/" + last[:2]) else None


def probe() -> str:
    """A new name for what a check of the credentials writes."""
    return f"probes/{secrets.token_hex(8)}"


def owner_tag(cluster: str, namespace_uid: str, vm_uid: str) -> str:
    """The folder word of an owner; finds points, proves nothing."""
    return hashlib.sha256(f"{cluster}\0{namespace_uid}\0{vm_uid}".encode()).digest()[:8].hex()


def run_tag(run_id: str) -> str:
    """The first half of the unique part of the names of a run's point and segments."""
    return hashlib.sha256(run_id.encode()).digest()[:4].hex()


@dataclass(frozen=True, slots=True)
class PointName:
    """A restore point's place: owner, sequence number, unique part."""

    owner: str
    sequence: int
    unique: str

    @classmethod
    def new(cls, owner: str, sequence: int, run_id: str) -> "PointName":
        """A name that no other attempt of any run has."""
        return cls(owner, sequence, run_tag(run_id) + secrets.token_hex(4))

    @classmethod
    def of_id(cls, point_id: str) -> "PointName":
        """The place of the point that people call `point_id`; PointError if it is no such id."""
        match = _POINT.fullmatch(point_id)
        if match is None:
            raise PointError(f"{point_id!r} is not the id of a restore point", expected="<16 hex>-<6 digits>-<16 hex>")
        return cls(match["owner"], int(match["sequence"]), match["unique"])

    @classmethod
    def of_object(cls, name: str) -> "PointName":
        """The place that a manifest's object name tells; IntegrityError if it is no such name."""
        match = _POINT_OBJECT.fullmatch(name)
        if match is None:
            raise IntegrityError(
                f"{name} is not the name of a restore point", remedy="remove what does not belong here"
            )
        return cls(match["owner"], _LAST_SEQUENCE - int(match["order"]), match["unique"])

    @property
    def id(self) -> str:
        """What people and status fields see."""
        return f"{self.owner}-{self.sequence:06d}-{self.unique}"

    def manifest(self, scope: str) -> str:
        """The manifest's name; a newer point sorts before an older one."""
        return points(scope, self.owner) + f"{_LAST_SEQUENCE - self.sequence:06d}-{self.unique}"


def all_points(scope: str) -> str:
    """The folder of all points of a domain, each owner's newest first."""
    return f"points/{scope}/"


def points(scope: str, owner: str) -> str:
    """The folder of an owner's points, newest first."""
    return f"points/{scope}/{owner}/"
