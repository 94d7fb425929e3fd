"""How many girls, boys and others an image shows: a tagger's counts, made to agree with each other and with the boxes.

What is seen decides how many people there are, the tagger of which sex they are. Worked examples, `boxes`:

- 2 people are seen, the tagger says `1girl, 1boy`: that stays, for it comes to 2.
- 2 are seen, it says `1girl`: their crops say a girl and a boy, so `1girl, 1boy`. Without crops that tell: `multiple
  girls`, as the tagger names girls alone. If it named girls and boys, nothing would be said.
- 1 is seen, it says `1boy, 1girl, solo`: what the crops say, else the more probable of the two, and `solo`.
- 1 to 2 are seen: `1girl` stays and so does `2girls`, but `3girls` becomes what is said of 2.
- nobody is seen: no count stays, and no other tag that speaks of a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dataset_pipeline.base.tag_words import MANY, NOBODY, counted_people, is_people_count, other_counts, words
from dataset_pipeline.tags.people import Seen

KINDS = ("girl", "boy", "other")
ALONE = ("solo",)
OTHER_COUNT = "other_count"


@dataclass(frozen=True)
class Decided:
    """dropped: tags with the reason. added: tags that come instead, with a probability and the reason."""

    dropped: dict[str, str] = field(default_factory=dict)
    added: dict[str, tuple[float, str]] = field(default_factory=dict)


def agreeing_counts(scores: Mapping[str, float]) -> dict[str, str]:
    """The tags to drop so that a tagger's counts agree with each other, with the reason. scores: its tags.

    Of girls, of boys and of others the most probable number stays, `no humans` only without any, and of `solo` and what
    denies it (counts that make more than one person, or `no humans`) the more probable.
    """
    dropped = dict.fromkeys(other_counts(scores), OTHER_COUNT)
    left = sorted(scores.keys() - dropped.keys(), key=lambda tag: (-scores[tag], tag))
    solo = [tag for tag in left if words(tag) == ALONE]
    one = [tag for tag in left if counted_people(tag)[1] == 1][:1]
    deny = [tag for tag in left if (is_people_count(tag) and tag not in one) or words(tag) == NOBODY]
    if solo and deny:
        solo_wins = scores[solo[0]] >= max(scores[tag] for tag in deny)
        dropped |= dict.fromkeys(deny if solo_wins else solo, OTHER_COUNT)
    return dropped


def decide_counts(
    scores: Mapping[str, float], seen: Seen | None, sexes: Sequence[str], mode: str, space: str = "_"
) -> Decided:
    """What is to be dropped and added so that the counts agree with each other and with what is seen.

    scores: the general tags that reached their threshold. seen: by the boxes; None where nobody looked. sexes: of each
    person that is there for certain girl, boy, other, or empty where its crops do not tell. mode: `boxes`; `tagger`:
    its counts need agree with each other alone; `both`: a count stays only where both say the same, and
    `solo` only beside one. space: what stands
    between the words of a tag.
    """
    if seen is None or mode == "tagger":
        return Decided(agreeing_counts(scores))
    decided = _as_seen(scores, seen, sexes, mode, space)
    if mode == "both" and not _counts(scores.keys() - decided.dropped.keys()):
        alone = {tag: reason_of(seen) for tag in scores if words(tag) == ALONE}
        return Decided(alone | decided.dropped, decided.added)
    return decided


def _as_seen(scores: Mapping[str, float], seen: Seen, sexes: Sequence[str], mode: str, space: str) -> Decided:
    if seen.nobody:
        gone = [tag for tag in scores if is_people_count(tag) or words(tag) == ALONE]
        return Decided(dict.fromkeys(gone, reason_of(seen)))
    said = agreeing_counts(scores)
    left = {tag: score for tag, score in scores.items() if tag not in said}
    people, or_more = _total(_counts(left))
    if people <= seen.at_most and (or_more or people >= seen.at_least):
        return Decided(said | _without_nobody(left, seen) | _without_solo(left, max(people, seen.at_least), seen))
    wanted = seen.at_least if people < seen.at_least else seen.at_most
    told = {} if mode == "both" else _told(_counts(scores), scores, wanted, sexes, space)
    names = {words(tag) for tag in told}
    reason = reason_of(seen)
    dropped = {tag: reason for tag in _counts(scores) if words(tag) not in names}
    dropped |= _without_nobody(scores, seen) | _without_solo(scores, wanted, seen)
    dropped |= agreeing_counts({tag: score for tag, score in {**scores, **told}.items() if tag not in dropped})
    added = {tag: (score, reason) for tag, score in told.items() if tag not in scores and tag not in dropped}
    return Decided({tag: why for tag, why in dropped.items() if tag in scores}, added)


def reason_of(seen: Seen) -> str:
    """Why a tag was dropped or added: `seen: 2 people`."""
    return f"seen: {seen.words}"


def sex_of(crops: Sequence[Mapping[str, float]], min_score: float) -> str:
    """girl, boy or other, as the crops of one person say in the mean, each by the probabilities of all its tags; empty
    below min_score or where two are as probable."""
    if not crops:
        return ""
    means = {kind: sum(tags.get(f"1{kind}", 0.0) for tags in crops) / len(crops) for kind in KINDS}
    first, second, _ = sorted(KINDS, key=lambda kind: -means[kind])
    return first if means[first] >= min_score and means[first] > means[second] else ""


def _told(
    counts: Sequence[str], scores: Mapping[str, float], people: int, sexes: Sequence[str], space: str
) -> dict[str, float]:
    """The counts of so many people, with a probability: by their crops, if they tell the sex of each; else of the one
    kind that the tagger names, or, for one person, of the most probable."""
    known = Counter(sexes)
    if len(sexes) == people and "" not in known:
        return {_count(kind, known[kind]): scores.get(_count(kind, known[kind]), 1.0) for kind in KINDS if known[kind]}
    best = {kind: max((scores[tag] for tag in counts if counted_people(tag)[0] == kind), default=0.0) for kind in KINDS}
    named = [kind for kind in KINDS if best[kind]]
    if people == 1 and named:
        kind = max(named, key=lambda kind: best[kind])
        return {_count(kind, 1): best[kind]}
    if len(named) == 1:
        return {f"multiple{space}{named[0]}s": best[named[0]]}
    return {}


def _count(kind: str, number: int) -> str:
    return f"{MANY}+{kind}s" if number >= MANY else f"{number}{kind}{'' if number == 1 else 's'}"


def _counts(tags: Iterable[str]) -> list[str]:
    return sorted(filter(is_people_count, tags))


def _total(counts: Sequence[str]) -> tuple[int, bool]:
    """How many people the counts come to, and whether they may be more: of `multiple girls` and `6+girls`."""
    people = sum(counted_people(tag)[1] for tag in counts)
    return people, any(tag.startswith("multiple") or counted_people(tag)[1] >= MANY for tag in counts)


def _without_nobody(scores: Mapping[str, float], seen: Seen) -> dict[str, str]:
    return {tag: reason_of(seen) for tag in scores if words(tag) == NOBODY and seen.at_least}


def _without_solo(scores: Mapping[str, float], people: int, seen: Seen) -> dict[str, str]:
    return {tag: reason_of(seen) for tag in scores if words(tag) == ALONE and people > 1}
