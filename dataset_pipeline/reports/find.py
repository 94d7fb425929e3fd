"""The images that a question about tags, characters and quality picks out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataset_pipeline.characters.names import stored_names
from dataset_pipeline.settings import TagThresholdsSettings
from dataset_pipeline.settings.query import Question, parse
from dataset_pipeline.store.store import Store
from dataset_pipeline.tags.subjects import subjects


@dataclass(frozen=True)
class Match:
    """path: of the picture on this machine, or its address in an object store; empty if there is none any more."""

    image_id: str
    path: str


def find(store: Store, question: str, thresholds: TagThresholdsSettings) -> Iterator[Match]:
    """The images that a question holds for (see `tags.query`), sorted by episode and id. Raises QueryError at once."""
    return _find(store, parse(question), thresholds.model_dump())


def _find(store: Store, holds: Question, limits: dict[str, float]) -> Iterator[Match]:
    gallery = store.find("character_gallery")
    names: dict[str, str] = {} if gallery is None else stored_names(gallery)
    for episode in store.episodes("tag_scores"):
        characters = _column(store, "clusters", episode, "characters")
        quality = _column(store, "quality_scores", episode, "score")
        written = _column(store, "hand_edited_tags", episode, "tags")
        paths = _column(store, "images", episode, "path")
        for image_id, subject in subjects(
            store.read("tag_scores", episode), written, characters, quality, names, limits
        ):
            if holds(subject):
                yield Match(image_id, _place(store, paths.get(image_id) or ""))


def _column(store: Store, asset: str, episode: str, name: str) -> dict:
    """A column by image id; empty if there is no table."""
    table = store.find(asset, episode, [name])
    return {} if table is None else dict(zip(table["image_id"].to_pylist(), table[name].to_pylist(), strict=True))


def _place(store: Store, path: str) -> str:
    local = store.local_path(path) if path else None
    return str(local) if local else store.uri(path) if path else ""
