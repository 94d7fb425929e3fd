"""A comparison of two sets in lines of text: counts by reason, and some examples of each."""

from __future__ import annotations

from collections.abc import Iterator

from dataset_pipeline.training.set_diff.concepts import ConceptChange
from dataset_pipeline.training.set_diff.diff import (
    CAME,
    CAPTION,
    CONCEPT,
    KINDS,
    LEFT,
    PIXELS,
    SIZE,
    SPLIT,
    Difference,
    SetDiff,
)

LONGEST = 100  # of a caption in an example
MOST_REASONS = 12  # of a kind; more are counted
TITLES = {
    CAME: ("image came", "images came"),
    LEFT: ("image left", "images left"),
    CAPTION: ("caption changed", "captions changed"),
    CONCEPT: ("image moved to another concept", "images moved to another concept"),
    PIXELS: ("picture has other pixels", "pictures have other pixels"),
    SIZE: ("picture has another size", "pictures have another size"),
    SPLIT: ("image changed its part", "images changed their part"),
}


def title(kind: str, count: int) -> str:
    """`3 images came`."""
    return f"{count} {TITLES[kind][count != 1]}"


def headline(found: SetDiff) -> str:
    """All that differs in a line."""
    parts = [title(kind, count) for kind in KINDS if (count := len(found.of(kind)))]
    if found.concepts:
        count = len(found.concepts)
        parts.append(f"{count} {'concept has' if count == 1 else 'concepts have'} other images or multiplies")
    return ", ".join(parts) or ("no other difference" if found.faults else "no difference")


def lines(found: SetDiff, examples: int) -> Iterator[tuple[str, str]]:
    """(style, line): what is compared, what changed behind it, then each kind of difference by reason, with at most so
    many examples of each."""
    for name, words, images in ((found.old, "old", found.images[0]), (found.new, "new", found.images[1])):
        yield "", f"{words}: {name}, {images} images"
    for change in found.changes:
        yield "", f"changed: {change}"
    if not found.known:
        yield "dim", "one of them does not say what it was made from: less can be said of the reasons"
    for fault in found.faults:
        yield "yellow", fault
    if not found.differences and not found.concepts:
        yield "" if found.faults else "green", headline(found)
    for kind in KINDS:
        if differences := found.of(kind):
            yield "bold", title(kind, len(differences))
            yield from _groups(found, kind, examples)
    if found.concepts:
        yield "bold", "concepts: images, multiply, share of an epoch"
        shown = found.concepts[: max(1, 4 * examples)]
        yield from (("", f"  {concept_line(change)}") for change in shown)
        if more := len(found.concepts) - len(shown):
            yield "dim", f"  and {more} more"


def _groups(found: SetDiff, kind: str, examples: int) -> Iterator[tuple[str, str]]:
    groups = found.by_reason(kind)
    for reason, differences in groups[:MOST_REASONS]:
        yield "", f"  {len(differences):>5}  {reason}"
        for it in differences[:examples]:
            yield "dim", f"         {example(it)}"
    if more := groups[MOST_REASONS:]:
        yield "dim", f"  {sum(len(it) for _, it in more):>5}  for {len(more)} more reasons: --json and --page tell all"


def example(it: Difference) -> str:
    """One image, with what is told of it alone."""
    if it.kind in (CAME, LEFT):
        return " ".join(filter(None, [it.image_id, it.reason.detail]))
    if it.kind == CAPTION and it.reason.detail:
        return f"{it.image_id} {it.reason.detail}"
    return f"{it.image_id}: {_short(it.before)} -> {_short(it.after)}"


def concept_line(it: ConceptChange) -> str:
    """`1_character/fern: 10 -> 8 images, x 1.5 -> 2, 20.1 % -> 18.2 %: balanced otherwise, since …`"""
    before, after = it.before, it.after
    return (
        f"{it.concept}: {before.images} -> {after.images} images, x {before.multiply:.4g} -> {after.multiply:.4g}, "
        f"{before.epoch_share:.1%} -> {after.epoch_share:.1%}: {it.reason.sentence}"
    )


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"
