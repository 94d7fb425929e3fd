"""All that differs between two sets, each difference with its one reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dataset_pipeline.base.ids import is_clip
from dataset_pipeline.training.set_diff.captions import Captions, are_renamed
from dataset_pipeline.training.set_diff.changes import Changes, Key, Reason
from dataset_pipeline.training.set_diff.concepts import (
    ByConcept,
    ConceptChange,
    concept_changes,
    contradictions,
    why_moved,
)
from dataset_pipeline.training.set_diff.presence import Presence
from dataset_pipeline.training.set_diff.sets import Image, TrainingSet
from dataset_pipeline.training.split import TRAIN

CAME, LEFT, CAPTION, CONCEPT, PIXELS, SIZE, SPLIT = "came", "left", "caption", "concept", "pixels", "size", "split"
KINDS = (CAME, LEFT, CAPTION, CONCEPT, PIXELS, SIZE, SPLIT)


@dataclass(frozen=True)
class Difference:
    """One thing that differs of one image. kind: of KINDS. before, after: the caption, concept, size or part on either
    side; of an image that came or left its caption there."""

    kind: str
    image_id: str
    reason: Reason
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class SetDiff:
    """old, new: the names of the sets. images: how many each holds. changes: what changed of the settings, sources and
    weights behind them. known: lineages of both are on record. faults: what is amiss with either set, and what of them
    was not compared."""

    old: str
    new: str
    images: tuple[int, int]
    changes: tuple[str, ...]
    known: bool
    differences: tuple[Difference, ...]
    concepts: tuple[ConceptChange, ...]
    faults: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Nothing differs, as far as can be known."""
        return not self.differences and not self.concepts and not self.faults

    def of(self, kind: str) -> list[Difference]:
        return [it for it in self.differences if it.kind == kind]

    def by_reason(self, kind: str) -> list[tuple[str, list[Difference]]]:
        """The differences of a kind by reason, the most frequent first."""
        groups: dict[str, list[Difference]] = {}
        for it in self.of(kind):
            groups.setdefault(it.reason.short, []).append(it)
        return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, every difference in it."""
        counts = Counter(it.kind for it in self.differences)
        return {
            "old": {"name": self.old, "images": self.images[0]},
            "new": {"name": self.new, "images": self.images[1]},
            "same": self.same,
            "lineage_known": self.known,
            "faults": list(self.faults),
            "changes": list(self.changes),
            "counts": {kind: counts[kind] for kind in KINDS} | {"concepts": len(self.concepts)},
            "differences": [
                {
                    "kind": it.kind,
                    "image_id": it.image_id,
                    "reason": it.reason.sentence,
                    "causes": list(it.reason.causes),
                    "before": it.before,
                    "after": it.after,
                }
                for it in self.differences
            ],
            "concepts": [
                {
                    "concept": it.concept,
                    "reason": it.reason.sentence,
                    "causes": list(it.reason.causes),
                    "before": vars(it.before),
                    "after": vars(it.after),
                }
                for it in self.concepts
            ],
        }


def diff(old: TrainingSet, new: TrainingSet, behind: Mapping[str, Iterable[str]], joined: Collection[str]) -> SetDiff:
    """Compare two sets. behind: everything an asset is made from, by asset; joined: the assets over all episodes.

    Clips are compared where both sets may have them: trainers of pictures are given none.
    """
    if not (old.has_clips and new.has_clips):
        clips = [it for side in (old, new) for it in side.images if is_clip(it)]
        old, new = (_without_clips(side, len(set(clips))) for side in (old, new))
    changes = Changes(old.lineage, new.lineage, behind, joined)
    came, left = Presence(old, new, changes, is_gone=False), Presence(new, old, changes, is_gone=True)
    captions = Captions(old, new, changes)
    found: list[Difference] = []
    by_concept: dict[str, list[Reason]] = defaultdict(list)
    for image_id in sorted(old.images.keys() ^ new.images.keys()):
        if image_id in new.images:
            image = new.images[image_id]
            found.append(Difference(CAME, image_id, came.why(image), after=image.caption))
        else:
            image = old.images[image_id]
            found.append(Difference(LEFT, image_id, left.why(image), before=image.caption))
        if image.part == TRAIN:
            by_concept[image.concept].append(found[-1].reason)
    both = [(old.images[it], new.images[it]) for it in sorted(old.images.keys() & new.images.keys())]
    found += [it for one, other in both for it in _of_both(one, other, old, new, captions, changes, by_concept)]
    for it in found:
        if it.kind == CONCEPT and TRAIN in (old.images[it.image_id].part, new.images[it.image_id].part):
            for concept in (it.before, it.after):
                by_concept[concept].append(it.reason)
    return SetDiff(
        old.name,
        new.name,
        (len(old.images), len(new.images)),
        tuple(changes.all()),
        bool(old.lineage.sources and new.lineage.sources),
        tuple(sorted(found, key=lambda it: (KINDS.index(it.kind), it.image_id))),
        tuple(concept_changes(old, new, changes, by_concept)),
        tuple(f"{side.name}: {fault}" for side in (old, new) for fault in (*side.faults, *contradictions(side))),
    )


def _without_clips(of: TrainingSet, clips: int) -> TrainingSet:
    count = "1 clip was" if clips == 1 else f"{clips} clips were"
    told = (f"{count} not compared, as which it had is not noted",) if of.has_clips is None and clips else ()
    images = {it: image for it, image in of.images.items() if not is_clip(it)}
    return replace(of, images=images, faults=(*of.faults, *told))


def _of_both(
    one: Image,
    other: Image,
    old: TrainingSet,
    new: TrainingSet,
    captions: Captions,
    changes: Changes,
    by_concept: ByConcept,
) -> Iterable[Difference]:
    image_id = one.image_id
    if captions.differ(one, other):
        yield Difference(CAPTION, image_id, captions.why(one, other), one.caption, other.caption)
    if one.concept != other.concept:
        why = why_moved(one, other, changes, by_concept, are_renamed(old, new, image_id))
        yield Difference(CONCEPT, image_id, why, one.concept, other.concept)
    sizes = [f"{image.width_px} x {image.height_px}" for image in (one, other)]
    if sizes[0] != sizes[1]:
        yield Difference(SIZE, image_id, _why_drawn(one, old, new, changes), *sizes)
    elif one.sha256 != other.sha256:
        yield Difference(PIXELS, image_id, _why_drawn(one, old, new, changes), one.sha256[:12], other.sha256[:12])
    if one.part != other.part:
        yield Difference(SPLIT, image_id, _why_other_part(changes), one.part, other.part)


def _why_drawn(image: Image, old: TrainingSet, new: TrainingSet, changes: Changes) -> Reason:
    """Of an image whose file is another: by how it is written, or because what it is written from is another."""
    rows = [side.row("training_images", image.image_id) for side in (old, new)]
    other_pixels = None not in rows and rows[0]["source_sha256"] != rows[1]["source_sha256"]  # type: ignore[index]
    written_by = "training_clips" if is_clip(image.image_id) else "training_images"
    if not other_pixels and (told := changes.own(written_by, image.episode)):
        return Reason("written otherwise", told)
    return Reason("made from other pixels", changes.upstream("images", image.episode))


def _why_other_part(changes: Changes) -> Reason:
    keys: list[Key] = [("training_set", "validation_share"), ("training_set", "seed")]
    changed = changes.keys("training_set", "")
    return Reason("held out otherwise", tuple(changed[key] for key in keys if key in changed))
