"""Regularization classes as exporters give them to trainers: how often each is shown, and what a card says of them."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset_pipeline.training.class_shares import ClassShare, class_shares, training_slots
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, TRAIN, Concept, ImageSet, Picture

SPARE = "spare"  # the folder of pictures that were too many once multiplies were balanced anew; no trainer looks there
PROMPTS_TOLD = 20  # of a class, on a card


@dataclass(frozen=True)
class Regularization:
    """How a trainer takes regularization pictures.

    known: it knows such a thing; sets for others hold none.
    cut: it takes the same ones in every epoch, so that more than an epoch shows are of no use.
    fills: it shows one for each image to train on, whether a class stands beside that or not.
    """

    known: bool = True
    cut: bool = False
    fills: bool = False


@dataclass(frozen=True)
class ShownClass:
    """A class of a set. pictures: in the order of preference."""

    concept: Concept
    pictures: tuple[Picture, ...]
    share: ClassShare

    @property
    def used(self) -> tuple[Picture, ...]:
        """Those that the trainer ever shows."""
        return self.pictures[: self.share.used]

    @property
    def spare(self) -> tuple[Picture, ...]:
        """Those for which there is no slot."""
        return self.pictures[self.share.used :]

    @property
    def spare_folder(self) -> str:
        return f"{SPARE}/{self.concept.flat_name}"


def shown_classes(images: ImageSet, how: Regularization, whole_repeats: bool) -> list[ShownClass]:
    """The set's classes for a trainer that takes them in this way, sorted by name."""
    concepts = {concept.name: concept for concept in images.concepts_of(REGULARIZATION)}
    slots = training_slots(
        ((picture.image_id, picture.concept, picture.multiply) for picture in images.pictures_of(TRAIN)), whole_repeats
    )
    counts = {name: len(concept.pictures) for name, concept in concepts.items()}
    shares = class_shares(slots, counts, images.beside, how.cut, how.fills)
    return [ShownClass(concepts[share.name], preferred(concepts[share.name]), share) for share in shares]


def preferred(concept: Concept) -> tuple[Picture, ...]:
    """Its pictures in the order of preference."""
    return tuple(sorted(concept.pictures, key=lambda picture: (picture.place, picture.image_id)))


def without_spare(images: ImageSet, how: Regularization, whole_repeats: bool) -> ImageSet:
    """The set without the regularization pictures that the trainer would never show."""
    if not how.known:
        spare = {picture.image_id for picture in images.pictures_of(REGULARIZATION)}
    else:
        classes = shown_classes(images, how, whole_repeats)
        spare = {picture.image_id for shown in classes for picture in shown.spare}
    return images.only(picture for picture in images.pictures if picture.image_id not in spare) if spare else images


def left_out_text(title: str, how: Regularization, left_out: int) -> str:
    """Why regularization pictures are not in a set; empty if all are."""
    if not left_out:
        return ""
    pictures = "1 regularization picture is" if left_out == 1 else f"{left_out} regularization pictures are"
    if not how.known:
        return f"{pictures} not in the set: {title} knows none."
    return (
        f"{pictures} not in the set: {title} shows as many in an epoch as there are images to train on with their "
        "repeats, and would never show these."
    )


def regularization_text(images: ImageSet, how: Regularization, whole_repeats: bool) -> str:
    """The part of a card on the classes of a set, in Markdown; empty where there are none."""
    classes = shown_classes(images, how, whole_repeats)
    if not classes:
        return ""
    lines = ["| class | pictures | in an epoch | times each |", "| --- | --- | --- | --- |"]
    for shown in classes:
        times = f"{shown.share.slots / shown.share.used:.2f}" if shown.share.used else "none"
        lines.append(f"| {_told(shown.concept.name)} | {len(shown.pictures)} | {shown.share.slots} | {times} |")
    numbers = (
        "An epoch is to show one of these pictures beside each image to train on, as often as that is repeated; where "
        "several classes stand beside an image they take turns.\n\n" + "\n".join(lines)
    )
    told = images.about.get("regularization") or []
    names = {shown.concept.name for shown in classes}
    return "\n\n".join(["## Regularization", numbers, *(origin_text(one) for one in told if one["class"] in names)])


def origin_text(origin: Mapping[str, Any]) -> str:
    """How the pictures of a class came about, as Markdown. origin: an entry of `about["regularization"]`: class,
    source, generator (backend, model, sha256, licence, steps, guidance, sampler), prompts, negative_prompt, seed,
    requested, kept; what is empty or missing is not told."""
    lines = [f"- source: {_told(origin['source'])}"] if origin.get("source") else []
    if generator := origin.get("generator"):
        rest = [
            f"{key} {_told(generator[key])}" for key in ("sha256", "steps", "guidance", "sampler") if generator.get(key)
        ]
        made = ", ".join([_told(generator.get("model") or "a model without a name"), *rest])
        licence = generator.get("licence") or "not stated; write it into [generator] licence"
        lines += [f"- made by: {made}, through {_told(generator.get('backend', ''))}"]
        lines += [f"- licence of what it makes, as the settings state it: {_told(licence)}"]
    if origin.get("seed") not in (None, ""):
        lines.append(f"- seed: {_told(origin['seed'])}")
    if origin.get("requested"):
        lines.append(f"- asked for {_told(origin['requested'])}, kept {_told(origin.get('kept', 0))}")
    prompts = origin.get("prompts") or []
    lines += [f"- prompt: {_told(prompt)}" for prompt in prompts[:PROMPTS_TOLD]]
    if len(prompts) > PROMPTS_TOLD:
        lines.append(f"- and {len(prompts) - PROMPTS_TOLD} more prompts, which `manifest.json` lists")
    if origin.get("negative_prompt"):
        lines.append(f"- negative prompt: {_told(origin['negative_prompt'])}")
    return "\n".join([f"### {_told(origin['class'])}", "", *lines])


def _told(value: Any) -> str:
    """A value as text in one line of Markdown that it cannot break out of."""
    return " ".join(re.sub(r"[\\`*|\[\]]", r"\\\g<0>", html.escape(str(value), quote=False)).split())
