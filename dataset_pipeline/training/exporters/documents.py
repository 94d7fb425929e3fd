"""The documents in an export's top folder: what a profile is, the manifest, and the dataset card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_pipeline.training.exporters.folder import ABSOLUTE, CHECKSUMS, File, content_hash
from dataset_pipeline.training.exporters.image_set import (
    CAPTION_FIELDS,
    CLIP_PARTS,
    REGULARIZATION,
    TRAIN,
    VALIDATION,
    Concept,
    ImageSet,
    Picture,
)
from dataset_pipeline.training.exporters.regularization import Regularization, regularization_text, shown_classes

MANIFEST = "manifest.json"
CARD = "README.md"
# Files about the characters of a set; they lie beside the manifest, where no trainer looks for captions.
EMB_INIT, WILDCARD = "emb_init.json", "wildcard.txt"


Masks = Callable[[ImageSet, Mapping[str, str]], dict[str, str]]


def places_by_concept(images: ImageSet, folder_of: Callable[[Concept], str]) -> dict[str, str]:
    """Where each image lies, by id: directly in the folder of its concept and part; clips in that of their length."""
    return {
        picture.image_id: f"{folder_of_clip(concept, picture) if picture.frames else folder_of(concept)}/{picture.name}"
        for concept in images.concepts
        for picture in concept.pictures
    }


def folder_of_clip(concept: Concept, clip: Picture) -> str:
    """A concept's clips of one length lie in one folder."""
    return f"{concept.flat_folder}/{clip.frames}"


def clip_folders(images: ImageSet, split: str) -> list[tuple[Concept, str, list[Picture]]]:
    """The concepts with clips of a split, their folders and the clips in each."""
    found: dict[str, tuple[Concept, list[Picture]]] = {}
    for concept in images.concepts_of(CLIP_PARTS[split]):
        for clip in concept.pictures:
            found.setdefault(folder_of_clip(concept, clip), (concept, []))[1].append(clip)
    return [(concept, folder, clips) for folder, (concept, clips) in found.items()]


def places_in_flat_folders(images: ImageSet) -> dict[str, str]:
    return places_by_concept(images, lambda concept: concept.flat_folder)


def masks_apart(images: ImageSet, places: Mapping[str, str]) -> dict[str, str]:
    """Masks below `masks` as the pictures are, each of its picture's stem."""
    return {
        picture.image_id: f"masks/{places[picture.image_id].removesuffix(picture.suffix)}.png"
        for picture in images.pictures
        if not picture.frames
    }


def captioned_pictures(
    images: ImageSet, places: Mapping[str, str], text_of: Callable[[str], str] = str
) -> Iterator[File]:
    """Every picture at its place, with a text file beside it that holds what `text_of` makes of its caption."""
    for picture in images.pictures:
        yield from images.with_caption(places[picture.image_id], picture, text_of(picture.caption))


def captioned_and_masked(
    masks: Masks, images: ImageSet, places: Mapping[str, str], text_of: Callable[[str], str] = str
) -> Iterator[File]:
    """`captioned_pictures`, and if the set has masks one for every picture, where `masks` places it."""
    yield from captioned_pictures(images, places, text_of)
    if images.has_masks:
        mask_places = masks(images, places)
        for picture in images.pictures:
            if picture.image_id in mask_places:
                yield images.mask_file(mask_places[picture.image_id], picture)


def no_configs(images: ImageSet, folder: str) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Profile:
    """How one trainer wants a set.

    title: the trainer's name.
    instructions: Markdown for a set's card, which folder or file to give the trainer.
    places: where each image lies, by id; in a shard as `<shard>#<name>`.
    files: all files but the documents, given the places.
    configs: config texts by name, with paths below `folder`; "" gives relative paths.
    splits: files by split, for the head of the card that the Hugging Face hub reads.
    masks: where each image's mask lies, by id; None if the trainer knows no masks.
    read_from_shard: the bytes of a file in a shard, given the shard and the name; None for profiles without shards.
    whole_repeats: the trainer takes whole repeats only, no fractions.
    keeps_mark: the trainer knows `|||` in captions.
    reads_clips: it takes videos; sets for others hold none.
    regularization: how it takes regularization pictures.
    format: raised when the same images are laid out in another way than before.
    """

    title: str
    instructions: Callable[[ImageSet], str]
    places: Callable[[ImageSet], dict[str, str]]
    files: Callable[[ImageSet, Mapping[str, str]], Iterable[File]] = captioned_pictures
    configs: Callable[[ImageSet, str], dict[str, str]] = no_configs
    splits: Mapping[str, str] = field(default_factory=dict)
    masks: Masks | None = None
    read_from_shard: Callable[[Path, str], bytes] | None = None
    whole_repeats: bool = False
    keeps_mark: bool = False
    reads_clips: bool = False
    regularization: Regularization = field(default_factory=Regularization)
    format: int = 1


def below(folder: str, path: str) -> str:
    """`path` below `folder`; `folder` "" leaves it relative."""
    return f"{folder}/{path}" if folder else path


def quoted(text: str) -> str:
    """A string as TOML, YAML and JSON all read it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def as_toml(blocks: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """TOML of headings ("[general]", "[[datasets]]", or "" for the top) with their values; empty ones are left out."""
    return "\n".join(_toml_block(heading, values) for heading, values in blocks if values)


def _toml_block(heading: str, values: Mapping[str, Any]) -> str:
    lines = [
        f"{key} = {quoted(value) if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()
    ]
    return "\n".join([heading, *lines] if heading else lines) + "\n"


def as_json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Documents:
    """The documents of an export. name: of its folder. content: sha256 over the images, the layout, the recipe and
    how regularization pictures came about; who made the set and when is no part of it. texts: card and manifest, by
    file name."""

    name: str
    content: str
    texts: Mapping[str, str]


def documents_of(profile_name: str, profile: Profile, images: ImageSet, places: Mapping[str, str]) -> Documents:
    """The documents of a set whose images lie at `places`."""
    masks = profile.masks(images, places) if profile.masks and images.has_masks else {}
    listed = [_entry(images, picture, places, masks) for picture in images.pictures]
    layout = {"profile": profile_name, "format": profile.format}
    told = {name: images.about[name] for name in ("regularization",) if name in images.about}  # licences, by hand
    content = content_hash({**layout, "images": listed, "recipe": images.recipe, **told})
    name = f"{images.name}-{profile_name}-{content[:8]}"
    manifest = {
        **layout,
        "content": content,
        "about": images.about,
        "recipe": images.recipe,
        "concepts": _concepts(images, profile),
        "images": listed,
    }
    return Documents(name, content, {CARD: card(name, profile, images), MANIFEST: _json_by_lines(manifest)})


def _entry(images: ImageSet, picture: Picture, places: Mapping[str, str], masks: Mapping[str, str]) -> dict[str, Any]:
    """An image in the manifest; `said` are the fields its caption is made of, without empty ones."""
    caption_fields = {name: picture.row[name] for name in CAPTION_FIELDS if picture.row.get(name)}
    entry = {
        "image_id": picture.image_id,
        "file": places[picture.image_id],
        "part": picture.part,
        "kind": picture.row["kind"],
        "sha256": picture.sha256,
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "quality": picture.quality,
        "concept": picture.concept,
        "multiply": picture.multiply,
        "caption": picture.caption,
        "said": caption_fields,
    }
    if picture.frames:
        entry |= {"frames": picture.frames, "fps": picture.fps}
    if picture.part == REGULARIZATION:
        entry["place"] = picture.place
    if picture.mask_path:
        entry["masked"] = True
    if mask := masks.get(picture.image_id):
        entry |= {"mask_file": mask, "mask_sha256": hashlib.sha256(images.mask(picture)).hexdigest()}
    return entry


def _json_by_lines(manifest: Mapping[str, Any]) -> str:
    """JSON with a line for each key, and for each entry of a list."""

    def compact(value: Any) -> str:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

    def value_of(value: Any) -> str:
        return "[\n  " + ",\n  ".join(map(compact, value)) + "\n ]" if isinstance(value, list) else compact(value)

    return "{\n" + ",\n".join(f" {quoted(key)}: {value_of(value)}" for key, value in manifest.items()) + "\n}\n"


def _concepts(images: ImageSet, profile: Profile) -> list[dict[str, Any]]:
    """The concepts in the manifest. error: repeats minus multiply; missing if the trainer takes fractions. in_an_epoch:
    how many pictures of a regularization class an epoch is to show, in place of the three."""
    classes = shown_classes(images, profile.regularization, profile.whole_repeats)
    in_an_epoch = {shown.concept.name: shown.share.slots for shown in classes}
    found = []
    for concept in images.concepts:
        entry = {"part": concept.part, "concept": concept.name, "images": len(concept.pictures)}
        if concept.part == REGULARIZATION:
            found.append(entry | {"in_an_epoch": in_an_epoch[concept.name]})
            continue
        entry["multiply"] = _rounded(concept.multiply)
        if profile.whole_repeats:
            entry |= {"repeats": concept.repeats, "error": _rounded(concept.repeats - concept.multiply)}
        found.append(entry)
    return found


def card(folder_name: str, profile: Profile, images: ImageSet) -> str:
    """README.md in English Markdown, with a head for the Hugging Face hub where the profile has splits."""
    blocks = [
        _hub_head(profile, images),
        f"# {folder_name}",
        _summary(profile, images),
        f"## For the trainer\n\n{profile.instructions(images)}{_absolute_paths_text(profile, images)}",
        f"## Concepts\n\n{_concept_table(profile, images)}",
        _epoch_text(profile, images),
        regularization_text(images, profile.regularization, profile.whole_repeats),
        f"## How it was made\n\n{_models_text(images.about)}",
        "## Licence\n\nThe pictures belong to the makers of the videos and picture folders they were taken from. This "
        "set gives nobody a right to them; whether you may train on them, or pass them on, is between you and them. "
        "The licences of the models above are those of their weights; what a generator made may be used as its own "
        "licence says.",
        f"## Files\n\n`{MANIFEST}` lists every image with its id, file, sha256, concept, multiply, caption and what "
        f"that is made of.{_core_tags_text(images)} `sha256sum -c {CHECKSUMS}` checks every file. Trainers write "
        "caches into what they are given: the pictures are copies, so nothing else suffers.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _hub_head(profile: Profile, images: ImageSet) -> str:
    if not profile.splits:
        return ""
    lines = [f"  - split: {part}\n    path: {quoted(profile.splits[part])}" for part in images.parts]
    return "\n".join(["---", "license: other", "configs:", "- config_name: default", "  data_files:", *lines, "---"])


def _summary(profile: Profile, images: ImageSet) -> str:
    counts = {part: len(images.pictures_of(part)) for part in images.parts}
    names = {VALIDATION: "held out for validation", REGULARIZATION: "for regularization"}
    names |= {CLIP_PARTS[part]: f"clips {names.get(part, 'to train on')}" for part in (TRAIN, VALIDATION)}
    parts = [f"{count} {names.get(part, 'to train on')}" for part, count in counts.items()]
    what = "pictures and clips" if images.clips else "pictures"
    text = f"A set for {profile.title}: {len(images.pictures)} {what} ({', '.join(parts)})."
    if images.about.get("made_with_demo_models"):
        text += (
            "\n\n**Made with the demo models, which know nothing of real pictures. Good for trying the pipeline out; "
            "do not train on it.**"
        )
    if images.has_masks:
        masked = sum(1 for picture in images.pictures if picture.mask_path)
        text += f"\n\n{masked} pictures have a mask" + (
            "; the others got a white one, which masks nothing."
            if profile.masks
            else ", which this trainer cannot use."
        )
    return text


def _absolute_paths_text(profile: Profile, images: ImageSet) -> str:
    names = sorted(profile.configs(images, ""))
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return (
        f"\n\nPaths in {listed} are relative to this folder, for a trainer started in it. The same below `{ABSOLUTE}/` "
        "with the absolute paths of the machine that wrote this set: for a trainer started anywhere, until the folder "
        f"is moved. Files in `{ABSOLUTE}/` are yours to edit and not part of the checksums; a deleted one is written "
        "anew by the next export."
    )


def _core_tags_text(images: ImageSet) -> str:
    names = images.recipe.get("beside", {})
    texts = {
        EMB_INIT: f" `{EMB_INIT}` has, for pivotal tuning, the tags that each character's embedding starts from.",
        WILDCARD: f" `{WILDCARD}` has prompts for each character, with its name alone and with its core tags.",
    }
    return "".join(text for name, text in texts.items() if name in names)


def _concept_table(profile: Profile, images: ImageSet) -> str:
    columns = ["part", "concept", "images", "multiply"] + (["repeats", "error"] if profile.whole_repeats else [])
    rows: Iterable[list[str]] = (
        [f"{row[column]:+.2f}" if column == "error" else _cell(row[column]) for column in columns]
        for row in _concepts(images, profile)
        if row["part"] != REGULARIZATION
    )
    return _table(columns, rows)


def _epoch_text(profile: Profile, images: ImageSet) -> str:
    trained = images.concepts_of("train")
    wanted = sum(len(concept.pictures) * concept.multiply for concept in trained)
    if not profile.whole_repeats:
        return f"By the multiplies an epoch has {wanted:.1f} images."
    given = sum(len(concept.pictures) * concept.repeats for concept in trained)
    return (
        f"By the multiplies an epoch has {wanted:.1f} images, by whole repeats {given} ({given / wanted - 1:+.2%}). "
        "The fractions were rounded up or down so that the totals agree as well as they can; `error` is repeats less "
        "multiply."
    )


def _models_text(about: Mapping[str, Any]) -> str:
    models = about.get("models") or []
    columns = ["role", "model", "sha256", "licence"]
    text = _table(columns, ([_cell(model.get(column, "")) for column in columns] for model in models))
    rest = [
        f"- {name}: {_cell(value)}"
        for name, value in sorted(about.items())
        if name not in ("models", "made_with_demo_models") and isinstance(value, str | int | float)
    ]
    return "\n\n".join(filter(None, [text if models else "No model is named.", "\n".join(rest)]))


def _table(columns: list[str], rows: Iterable[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
