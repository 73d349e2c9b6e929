"""All manifests of a key domain, read side by side."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from safehold.engine.names import PointName
from safehold.engine.points.catalogue import Points
from safehold.engine.points.manifest import Manifest
from safehold.errors import IntegrityError, KeyMaterialError, PointError

_READERS = 8
_AHEAD = 64
"""Manifests that are held at once; each is some kilobytes."""

Unreadable = IntegrityError | KeyMaterialError
"""What is raised for an object that is damaged; a damaged header may name a key set that does not exist."""
Opened = tuple[PointName, Manifest | Unreadable]
"""A point with its manifest, or with what is wrong with that."""


def read_manifests(points: Points) -> Iterator[Opened]:
    """Every point of the domain, each owner's newest first; those that are forgotten meanwhile are left out."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="points") as readers:
        window: list[PointName] = []
        for name in points.all():
            window.append(name)
            if len(window) == _AHEAD:
                yield from _read_window(readers, points, window)
                window = []
        yield from _read_window(readers, points, window)


def damaged_machines(points: Points) -> Iterator[Unreadable]:
    """What is wrong with the VMs' objects of points whose manifests can be read. Reads every point whole."""

    def read(opened: Opened) -> Unreadable | None:
        _, manifest = opened
        try:
            if isinstance(manifest, Manifest):
                points.read_machine(manifest)
        except PointError:  # forgotten meanwhile
            return None
        except (IntegrityError, KeyMaterialError) as problem:
            return problem
        return None

    with ThreadPoolExecutor(_READERS, thread_name_prefix="machines") as readers:
        opened = read_manifests(points)
        while window := list(islice(opened, _AHEAD)):
            yield from filter(None, readers.map(read, window))


def _read_window(readers: ThreadPoolExecutor, points: Points, window: list[PointName]) -> Iterator[Opened]:
    for name, found in zip(window, readers.map(lambda name: _read(points, name), window), strict=True):
        if found is not None:
            yield name, found


def _read(points: Points, name: PointName) -> Manifest | Unreadable | None:
    try:
        return points.read(name)
    except PointError:
        return None
    except (IntegrityError, KeyMaterialError) as problem:
        return problem
