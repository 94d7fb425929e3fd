"""Which folders of characters were renamed: where each lies as a whole, by where its pictures lie."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

from dataset_pipeline.corrections.folder_manifest import Folder, Written

WHOLE_SHARE = 0.5  # of a folder's pictures that have to lie in one place of another folder to be that folder as a whole


def stayed(members: Mapping[str, Sequence[Written]], places: Mapping[Written, str]) -> set[str]:
    """The folders of whose own pictures one lies where it was written at least."""
    return {folder for folder, own in members.items() if any(places.get(it) == folder for it in own)}


def renamed(
    folders: Mapping[str, Folder],
    members: Mapping[str, Sequence[Written]],
    places: Mapping[Written, str],
    occupied: Set[str],
) -> dict[str, str]:
    """By path of a folder the place that it was renamed to. members: by folder, what was written there. places: of the
    pictures that lie somewhere. occupied: places in which anything lies.

    A folder that none of its pictures lies in any more is renamed to where most of them lie, and of no other folder
    more: a new place, or one that its own pictures left, so that folders may exchange their names. Where it was nothing
    may lie by then but what belongs to another one that was renamed to there.
    """
    left = members.keys() - stayed(members, places)
    kept = {path for path in left if folders[path].character}
    while True:
        found = _best(folders, {path: members[path] for path in kept}, places, members.keys() - left)
        wrong = {old for old in found.keys() & occupied if old not in found.values()}
        if not wrong:
            return found
        kept -= wrong


def _best(
    folders: Mapping[str, Folder],
    members: Mapping[str, Sequence[Written]],
    places: Mapping[Written, str],
    held: Set[str],
) -> dict[str, str]:
    """By folder of `members` its new place, each of which is that of one alone. held: folders that are not free."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    origins: dict[str, Counter[str]] = defaultdict(Counter)
    for old, own in members.items():
        for new, count in Counter(places.get(it, "") for it in own).items():
            target = folders.get(new)
            is_free = target is None or (
                new not in held
                and bool(target.character)
                and target.show == folders[old].show
                and count >= WHOLE_SHARE * len(own)
            )
            if new and is_free:
                votes[old][new] = origins[new][old] = count
    found: dict[str, str] = {}
    taken: set[str] = set()
    for old, counts in sorted(votes.items(), key=lambda it: (-max(it[1].values()), it[0])):
        new = min(counts, key=lambda it: (-counts[it], it))
        if new not in taken and counts[new] == max(origins[new].values()):
            found[old] = new
            taken.add(new)
    return found
