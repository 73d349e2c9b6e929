"""What retention lets go in a key domain: judged VM by VM, from the catalogue in the store."""

import threading
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from safehold.census import Census
from safehold.engine.maintenance.manifests import read_manifests
from safehold.engine.points.catalogue import Points
from safehold.engine.points.manifest import Manifest
from safehold.engine.repository import Domain
from safehold.errors import InterruptedRunError
from safehold.report import MaintenanceReport, RetentionLine
from safehold.retention.forecast import Deletion, next_deletions
from safehold.retention.rules import RetentionRules
from safehold.retention.verdicts import Machine, Point, Verdict, going, judge
from safehold.run import MaintainRun
from safehold.worker.governing import Governors

PREVIEWED = 10
"""How many of the next deletions are told for each policy."""
_NOTED = 16
"""How many VMs that have gone, or whose last point has, are told at once."""
_MOST_LINES = 10_000
"""How many forgotten points are told: the controller reads them out of a log."""


class Keeper:
    """Judges all points of a repository by the rules of one run, forgets, and counts."""

    def __init__(self, run: MaintainRun, stop: threading.Event) -> None:
        self._run = run
        self._stop = stop
        self._governors = Governors(run.rules, run.policies)
        self._runs = sorted((at, governor) for governor, at in self._governors.runs() if at > run.time)
        self._existing = Census.parse(run.machines)
        self._held = set(run.held)
        self._seen: set[str] = set()
        self._noted: list[str] = []
        self._upcoming: dict[str, list[RetentionLine]] = {each.policy: [] for each in run.rules}
        self._forgotten: list[RetentionLine] = []
        self._counts = dict.fromkeys(("points", "ungoverned", "of_gone_policies", "of_gone_machines", "forgotten"), 0)

    def tidy(self, domain: Domain) -> None:
        """Forget what retention lets go, the oldest points of each VM first.

        IntegrityError where a point cannot be read: what is left of that VM and those behind it is not touched.
        """
        self._held |= domain.holds.points()
        points = domain.points
        for manifests in _by_owner(points):
            if self._stop.is_set():
                raise InterruptedRunError("The maintenance was told to stop; the next one goes on where it ended")
            self._tidy_machine(points, manifests)

    def lines(self) -> list[RetentionLine]:
        """The points that were forgotten, and for each policy those that go next."""
        return [*self._forgotten, *(line for lines in self._upcoming.values() for line in lines)]

    def report(self, freed_bytes: int, condemned_bytes: int) -> MaintenanceReport:
        """The counts, once all domains are tidied and freed."""
        emptied = [uid for uid in self._run.gone if uid not in self._seen]
        return MaintenanceReport(
            **self._counts,
            freed_bytes=freed_bytes,
            compacted=self._run.compact,
            condemned_bytes=condemned_bytes,
            newly_gone=self._noted[:_NOTED],
            emptied=emptied[:_NOTED],
            lines=len(self.lines()),
        )

    def _tidy_machine(self, points: Points, manifests: list[Manifest]) -> None:
        owner = manifests[0].owner
        if owner.cluster != self._run.cluster:
            self._counts["points"] += len(manifests)
            self._counts["ungoverned"] += len(manifests)
            return
        by_id = {manifest.point: manifest for manifest in manifests}
        known = [self._point(manifest) for manifest in manifests]
        machine = Machine(exists=owner.vm_uid in self._existing, gone_since=self._run.gone.get(owner.vm_uid))
        rules = self._governors.rules_of(point.governor for point in known)
        doomed = going(judge(known, rules, machine, self._run.time))
        for verdict in doomed:
            points.forget(by_id[verdict.point.id])
            self._tell_forgotten(by_id[verdict.point.id], verdict)
        gone = {verdict.point.id for verdict in doomed}
        left = [point for point in known if point.id not in gone]
        self._counts["of_gone_policies"] += sum(self._governors.is_orphan(by_id[point.id]) for point in left)
        self._count(left, rules, machine, owner.vm_uid)
        runs = [(at, governor) for at, governor in self._runs if governor in rules]
        for deletion in next_deletions(left, rules, machine, runs, self._run.time):
            self._foretell(by_id[deletion.verdict.point.id], deletion)

    def _point(self, manifest: Manifest) -> Point:
        return Point(
            id=manifest.point,
            time=manifest.time,
            governor=self._governors.of(manifest) or manifest.policy,
            verified=manifest.verified,
            held=manifest.point in self._held,
        )

    def _count(self, left: list[Point], rules: dict[str, RetentionRules], machine: Machine, vm_uid: str) -> None:
        self._counts["points"] += len(left)
        self._counts["ungoverned"] += sum(point.governor not in rules for point in left)
        if machine.exists or not left:
            return
        self._counts["of_gone_machines"] += len(left)
        self._seen.add(vm_uid)
        waits = any(rules[point.governor].after_vm_deleted == "Delete" for point in left if point.governor in rules)
        if waits and machine.gone_since is None and vm_uid not in self._noted:
            self._noted.append(vm_uid)

    def _tell_forgotten(self, manifest: Manifest, verdict: Verdict) -> None:
        self._counts["forgotten"] += 1
        if len(self._forgotten) < _MOST_LINES:
            self._forgotten.append(self._line(manifest, self._run.time, verdict, forgotten=True))

    def _foretell(self, manifest: Manifest, deletion: Deletion) -> None:
        line = self._line(manifest, deletion.at, deletion.verdict, forgotten=False)
        upcoming = self._upcoming[line.policy]
        upcoming.append(line)
        upcoming.sort(key=lambda line: (line.at, line.captured))
        del upcoming[PREVIEWED:]

    def _line(self, manifest: Manifest, at: datetime, verdict: Verdict, *, forgotten: bool) -> RetentionLine:
        rules = self._governors.written(verdict.point.governor or "")
        return RetentionLine(
            run_id=self._run.run_id,
            policy=rules.policy,
            tier=rules.tier,
            namespace=manifest.owner.namespace,
            vm=manifest.owner.vm,
            restore_point=manifest.point,
            captured=manifest.time,
            at=at,
            reason=verdict.reason,
            forgotten=forgotten,
        )


def _by_owner(points: Points) -> Iterator[list[Manifest]]:
    """The manifests of one VM after another. What a manifest says of its owner counts, not the folder it lies in."""
    for _, opened in groupby(read_manifests(points), key=lambda each: each[0].owner):
        of_owner: dict[tuple[str, str, str], list[Manifest]] = {}
        for _, manifest in opened:
            if not isinstance(manifest, Manifest):
                raise manifest
            of_owner.setdefault(manifest.owner.identity, []).append(manifest)
        yield from of_owner.values()
