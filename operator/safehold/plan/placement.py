"""The nodes that can reach several volumes: where one pod, a worker's or a VM's, can have all of them."""

from collections.abc import Iterable, Mapping, Sequence

from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

Requirement = tuple[str, str, str, tuple[str, ...]]
"""matchExpressions or matchFields; key; operator; sorted values."""
Term = frozenset[Requirement]
"""Requirements that a node must all fulfil; a selector is a list of terms, of which one is enough."""


def common_nodes(selectors: Mapping[str, Mapping[str, object] | None]) -> Mapping[str, object] | Refusal | None:
    """The node selector that means those of all volumes, by their names; None when none restricts anything."""
    common: list[Term] = [frozenset()]
    volumes: list[str] = []
    for volume, selector in selectors.items():
        if selector is None:
            continue
        common = _both(common, _terms_of(selector))
        if not common:
            message = (
                f"no node can reach volume {volume} together with {', '.join(volumes) or 'the worker'}: their "
                "persistent volumes are bound to different nodes or zones. Move them to one"
            )
            return Refusal(Reason.UNSCHEDULABLE, message)
        volumes.append(volume)
    return {"nodeSelectorTerms": [_manifest(term) for term in common]} if volumes else None


def _both(left: Iterable[Term], right: Sequence[Term]) -> list[Term]:
    """Each term of the one with each of the other, without those that contradict themselves; each once."""
    pairs = (_merged(a | b) for a in left for b in right)
    return list(dict.fromkeys(term for term in pairs if term is not None))


def _merged(term: Term) -> Term | None:
    """The term with one `In` per key; None when no value is left for one."""
    merged: dict[tuple[str, str], set[str]] = {}
    others: set[Requirement] = set()
    for place, key, operator, values in term:
        if operator != "In":
            others.add((place, key, operator, values))
        elif (place, key) in merged:
            merged[place, key] &= set(values)
        else:
            merged[place, key] = set(values)
    if not all(merged.values()):
        return None
    return frozenset({*others, *((place, key, "In", tuple(sorted(left))) for (place, key), left in merged.items())})


def _terms_of(selector: Mapping[str, object]) -> list[Term]:
    terms = selector.get("nodeSelectorTerms")
    return [_term_of(term) for term in terms] if isinstance(terms, list) else []


def _term_of(term: Mapping[str, Sequence[Mapping[str, object]]]) -> Term:
    return frozenset(
        (place, str(item["key"]), str(item["operator"]), tuple(sorted(_strings(item.get("values")))))
        for place in ("matchExpressions", "matchFields")
        for item in term.get(place) or ()
    )


def _strings(values: object) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list | tuple) else []


def _manifest(term: Term) -> dict[str, list[dict[str, object]]]:
    manifest: dict[str, list[dict[str, object]]] = {}
    for place, key, operator, values in sorted(term):
        requirement: dict[str, object] = {"key": key, "operator": operator}
        manifest.setdefault(place, []).append(requirement | ({"values": list(values)} if values else {}))
    return manifest
