"""What holds a group's physical snapshots while they are read, and in which order everything of a group goes.

The group's content is the one object that deletes them: csi-snapshotter deletes nothing for the content of a member.
Held by Retain it outlives a tenant who deletes the group; the members' contents, which name the handles, are held too.
"""

from safehold.plan.backup.capture_facts import ContentPolicy
from safehold.plan.backup.facts import Leftovers
from safehold.plan.backup.group.facts import GroupContentFacts
from safehold.plan.backup.group.steps import (
    GroupStep,
    HoldGroup,
    RemoveGroup,
    RemoveGroupContent,
    SetGroupPolicy,
    UnmarkClaim,
)
from safehold.plan.backup.run import Run
from safehold.plan.names import ORIGINAL_POLICY
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason


def is_member(run: Run, volume: str) -> bool:
    """Whether the volume's snapshot belongs to a group, so that only the group's content may delete it."""
    fallback = run.status.fallback
    if fallback is None or fallback.by_group is None:
        return False
    return volume in {cut.name for cut in fallback.volumes}


def refuse_group(run: Run) -> Refusal | None:
    """The group's recorded content must still be there."""
    group = run.status.fallback.by_group if run.status.fallback else None
    if group is None:
        return None
    content = run.facts.group.content if run.facts.group else None
    if content is None or content.deleting or content.uid != group.content_uid:
        message = f"the content of VolumeGroupSnapshot {group.name} was deleted by somebody while it was being prepared"
        return Refusal(Reason.SNAPSHOT_FAILED, message)
    return None


def hold_group(run: Run) -> tuple[HoldGroup, ...]:
    """Keep the group's content, before anything is made from its members."""
    group = run.status.fallback.by_group if run.status.fallback else None
    content = run.facts.group.content if run.facts.group else None
    if group is None or content is None or _is_held(run, content):
        return ()
    return (
        HoldGroup(
            content=content.name,
            resource_version=content.resource_version,
            policy=group.original_deletion_policy or "Delete",
            labels=run.labels,
        ),
    )


def take_marks_away(found: Leftovers) -> tuple[UnmarkClaim, ...]:
    """Free the VM's own claims of the run's mark."""
    return tuple(
        UnmarkClaim(namespace=claim.namespace, name=claim.name, backup_uid=claim.mark) for claim in found.marked_claims
    )


def let_groups_go(found: Leftovers) -> tuple[GroupStep, ...]:
    """Give held contents back, then delete the groups: members, contents and physical snapshots go with them."""
    living = {group.uid for group in found.groups}
    return (
        *(step for content in found.group_contents for step in _let_go(content, lives=content.group_uid in living)),
        *(RemoveGroup(namespace=group.namespace, name=group.name, uid=group.uid) for group in found.groups),
    )


def _let_go(content: GroupContentFacts, *, lives: bool) -> tuple[GroupStep, ...]:
    marked: ContentPolicy = "Retain" if content.annotations.get(ORIGINAL_POLICY) == "Retain" else "Delete"
    if lives or marked == "Retain":
        return (SetGroupPolicy(content=content.name, uid=content.uid, policy=marked, release=True),)
    # Its group is gone, and only Retain kept it: what it would have deleted then is deleted now.
    return (
        SetGroupPolicy(content=content.name, uid=content.uid, policy="Delete"),
        RemoveGroupContent(content=content.name, uid=content.uid),
    )


def _is_held(run: Run, content: GroupContentFacts) -> bool:
    marked = content.annotations.get(ORIGINAL_POLICY) and run.labels.items() <= content.labels.items()
    return content.policy == "Retain" and bool(marked)
