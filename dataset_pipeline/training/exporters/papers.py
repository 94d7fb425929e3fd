"""The papers in an export's top folder: what a profile is, the manifest, and the dataset card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataset_pipeline.training.exporters.folder import ABSOLUTE, CHECKSUMS, File, content_hash
from dataset_pipeline.training.exporters.image_set import REGULARIZATION, VALIDATION, ImageSet, Picture

MANIFEST = "manifest.json"
CARD = "README.md"


def captioned_pictures(images: ImageSet, places: Mapping[str, str]) -> Iterator[File]:
    """Every picture at its place with its caption beside it."""
    for picture in images.pictures:
        yield from images.beside(places[picture.image_id], picture)


def no_configs(images: ImageSet, folder: str) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Profile:
    """How one trainer wants a set.

    title: the trainer's name. use: Markdown, which folder or file to give it. places: where each image lies, by id.
    files: all files but the papers, given the places. configs: texts by name that hold paths below `folder`; "" is
    the set's own folder. splits: for the card's head that the Hugging Face hub reads, files by split. masks: the
    trainer can be told which pixels count. whole_repeats: it takes no fractions. keeps_mark: it knows `|||` in
    captions. format: raised when the same images are laid out in another way than before.
    """

    title: str
    use: str
    places: Callable[[ImageSet], dict[str, str]]
    files: Callable[[ImageSet, Mapping[str, str]], Iterable[File]] = captioned_pictures
    configs: Callable[[ImageSet, str], dict[str, str]] = no_configs
    splits: Mapping[str, str] = field(default_factory=dict)
    masks: bool = False
    whole_repeats: bool = False
    keeps_mark: bool = False
    format: int = 1


def at(folder: str, path: str) -> str:
    """`path` below `folder`; `folder` "" leaves it relative."""
    return f"{folder}/{path}" if folder else path


def quoted(text: str) -> str:
    """A string as TOML, YAML and JSON all read it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def as_json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def entries(images: ImageSet, profile: Profile, places: Mapping[str, str]) -> list[dict[str, Any]]:
    """The images of the manifest, sorted by id."""
    return [_entry(images, profile, picture, places[picture.image_id]) for picture in images.pictures]


def _entry(images: ImageSet, profile: Profile, picture: Picture, file: str) -> dict[str, Any]:
    entry = {
        "image_id": picture.image_id,
        "file": file,
        "part": picture.part,
        "sha256": picture.sha256,
        "concept": picture.concept,
        "multiply": _rounded(picture.multiply),
        "caption_sha256": hashlib.sha256(picture.caption.encode()).hexdigest(),
    }
    if profile.masks and images.has_masks:
        entry["mask_sha256"] = hashlib.sha256(images.mask(picture)).hexdigest()
    return entry


def content_of(name: str, profile: Profile, images: list[dict[str, Any]]) -> str:
    """sha256 over the images and the layout; how the set was made is no part of it."""
    return content_hash({"profile": name, "format": profile.format, "images": images})


def manifest(name: str, profile: Profile, images: ImageSet, found: list[dict[str, Any]], digest: str) -> str:
    """manifest.json: every image and concept, and where the set comes from."""
    return as_json(
        {
            "profile": name,
            "format": profile.format,
            "content": digest,
            "about": images.about,
            "concepts": _concepts(images, profile),
            "images": found,
        }
    )


def _concepts(images: ImageSet, profile: Profile) -> list[dict[str, Any]]:
    """error: repeats less multiply; left out where the trainer takes the multiply as it is."""
    found = []
    for concept in images.concepts:
        entry = {
            "part": concept.part,
            "concept": concept.name,
            "images": len(concept.pictures),
            "multiply": _rounded(concept.multiply),
        }
        if profile.whole_repeats:
            entry |= {"repeats": concept.repeats, "error": _rounded(concept.repeats - concept.multiply)}
        found.append(entry)
    return found


def card(folder_name: str, profile: Profile, images: ImageSet) -> str:
    """README.md in English Markdown, with a head for the Hugging Face hub where the profile has splits."""
    blocks = [
        _head(profile, images),
        f"# {folder_name}",
        _counted(profile, images),
        f"## For the trainer\n\n{profile.use}{_of_absolute_paths(profile, images)}",
        f"## Concepts\n\n{_concept_table(profile, images)}",
        _epoch(profile, images),
        f"## How it was made\n\n{_models(images.about)}",
        "## Licence\n\nThe pictures belong to the makers of the videos and picture folders they were taken from. This "
        "set gives nobody a right to them; whether you may train on them, or pass them on, is between you and them. "
        "The licences of the models above are those of their weights.",
        f"## Files\n\n`{MANIFEST}` lists every image with its id, file, sha256, caption's sha256, concept and multiply."
        f" `sha256sum -c {CHECKSUMS}` checks every file. Trainers write caches into what they are given: the pictures "
        "are copies, so nothing else suffers.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _head(profile: Profile, images: ImageSet) -> str:
    if not profile.splits:
        return ""
    lines = [f"  - split: {part}\n    path: {quoted(profile.splits[part])}" for part in images.parts]
    return "\n".join(["---", "license: other", "configs:", "- config_name: default", "  data_files:", *lines, "---"])


def _counted(profile: Profile, images: ImageSet) -> str:
    counts = {part: len(images.pictures_of(part)) for part in images.parts}
    names = {VALIDATION: "held out for validation", REGULARIZATION: "for regularization"}
    parts = [f"{count} {names.get(part, 'to train on')}" for part, count in counts.items()]
    text = f"A set for {profile.title}: {len(images.pictures)} pictures ({', '.join(parts)})."
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


def _of_absolute_paths(profile: Profile, images: ImageSet) -> str:
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


def _concept_table(profile: Profile, images: ImageSet) -> str:
    columns = ["part", "concept", "images", "multiply"] + (["repeats", "error"] if profile.whole_repeats else [])
    rows: Iterable[list[str]] = (
        [f"{row[column]:+.2f}" if column == "error" else _cell(row[column]) for column in columns]
        for row in _concepts(images, profile)
    )
    return _table(columns, rows)


def _epoch(profile: Profile, images: ImageSet) -> str:
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


def _models(about: Mapping[str, Any]) -> str:
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
