"""What a project holds that a person may review, read once from its store. Nothing here runs a model over a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.characters.appearances import CROP_COLUMNS, Appearances, Tracked, appearances_of, tracked
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.gallery import Naming, decide_clusters, galleries_by_show
from dataset_pipeline.characters.references import NOBODY, name_people, reference_set
from dataset_pipeline.characters.surroundings import SHOT_COLUMNS
from dataset_pipeline.characters.vectors import vectors_by_id
from dataset_pipeline.corrections.addressing import STITCHED
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.store import Store, StoreError

IMAGE_COLUMNS = ("image_id", "still_id", "kind", "x_px", "y_px", "width_px", "height_px", "path", "pixel_sha256")
ABOUT_PEOPLE = ("character_gallery", "clusters")  # who reads what a person says of who is who


class NothingToReview(StoreError):
    """There is no store yet, or nobody was looked for in it."""


@dataclass(frozen=True)
class ShowFacts:
    """One show's people, as they are found without anybody's help.

    owners: the character of each of n appearances, None for nobody known. exemplars: float32 [k, d] by character.
    by_references: the names that references give, by character.
    """

    show: str
    appearances: Appearances
    owners: Sequence[str | None]
    exemplars: Mapping[str, np.ndarray]
    by_references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """A candidate frame of an episode that looks like others. stands: it is the one that is kept."""

    image_id: str
    path: str
    pts_s: float | None
    stands: bool


@dataclass
class Facts:
    """images: rows of `images` by id. sources: fingerprint by episode. lookalikes: frames by the one that stands for
    them, of those that are several. limit: up to which two are the same person. stitched: rows of `panoramas` and
    `backdrops` that have a picture, by id."""

    shows: list[ShowFacts]
    images: dict[str, dict[str, Any]]
    sources: dict[str, str]
    titles: dict[str, str]
    quality: dict[str, float]
    lookalikes: dict[str, list[Frame]]
    frames: dict[str, dict[str, Any]]
    limit: float
    differences_to: Any
    root: str = ""
    stitched: dict[str, dict[str, Any]] = field(default_factory=dict)

    def row_of(self, image: str) -> dict[str, Any] | None:
        """What is known of an image, of a frame that is none, or of a panorama or plate that is none."""
        return self.images.get(image) or self.frames.get(image) or self.stitched.get(image)


def read_facts(settings: Settings, store: Store, identity: Any) -> Facts:
    """identity: the resource of that model, which compares vectors. Raises NothingToReview, StoreError, and
    WeightsMissing where that model is not there."""
    episodes = store.episodes("crops")
    if not store.episodes("video"):
        raise NothingToReview(f"there is nothing in {store.root} yet: `{settings.run_command}` fills it")
    if store.pointer("character_gallery") is None:
        raise NothingToReview(
            f"{store.root} holds no characters yet: `{settings.run_command}` finds them once episodes are measured"
        )
    weights = identity.fingerprint().sha256
    images = store.read_many("images", store.episodes("images")).select([*IMAGE_COLUMNS, "start_s"])
    reader = _Reader(settings, store, identity, weights)
    by_show: dict[str, list[str]] = defaultdict(list)
    for episode in episodes:
        by_show[show_of(episode)].append(episode)
    videos = store.read_many("video", store.episodes("video")).select(["episode", "show_title", "episode_title"])
    quality = store.read_many("quality_scores", store.episodes("quality_scores")).select(["image_id", "score"])
    frames, lookalikes = _frames(store)
    return Facts(
        shows=[reader.show(show, own) for show, own in sorted(by_show.items())],
        images={row["image_id"]: row for row in images.to_pylist()},
        sources={
            episode: pointer.provenance.fingerprint
            for episode in store.episodes("video")
            if (pointer := store.pointer("video", episode))
        },
        titles={
            row["episode"]: _title(row["show_title"] or "", row["episode_title"] or "") for row in videos.to_pylist()
        },
        quality=dict(zip(quality["image_id"].to_pylist(), quality["score"].to_pylist(), strict=True)),
        lookalikes=lookalikes,
        frames=frames,
        limit=settings.character_gallery.max_difference or identity.threshold,
        differences_to=identity.differences,
        root=store.root,
        stitched=_stitched(store),
    )


def _title(show: str, episode: str) -> str:
    return episode if show in episode else f"{show} · {episode}"


def _frames(store: Store) -> tuple[dict[str, dict[str, Any]], dict[str, list[Frame]]]:
    """The working copies of frames by id, and the near-duplicates among them by the frame that stands for each."""
    columns = ["image_id", "path", "pixel_sha256", "width_px", "height_px", "pts_s"]
    copies = store.read_many("keyframes", store.episodes("keyframes")).select(columns).to_pylist()
    frames = {row["image_id"]: row for row in copies}
    groups: dict[str, list[Frame]] = defaultdict(list)
    distinct = store.read_many("distinct_frames", store.episodes("distinct_frames"))
    for row in distinct.select(["image_id", "group", "kept", "pts_s"]).to_pylist():
        if row["group"] and row["image_id"] in frames:
            path = frames[row["image_id"]]["path"]
            groups[row["group"]].append(Frame(row["image_id"], path, row["pts_s"], row["kept"]))
    return frames, {group: members for group, members in groups.items() if len(members) > 1}


def _stitched(store: Store) -> dict[str, dict[str, Any]]:
    tables = (store.read_many(asset, store.episodes(asset)) for asset in STITCHED)
    return {row["image_id"]: row for table in tables for row in table.to_pylist() if row["path"]}


@dataclass(frozen=True)
class _Reader:
    settings: Settings
    store: Store
    identity: Any
    weights: str

    def show(self, show: str, episodes: Sequence[str]) -> ShowFacts:
        crops = self.store.read_many("crops", episodes).select(CROP_COLUMNS).to_pylist()
        vectors = vectors_by_id(self.store.read_many("crop_embeddings", episodes), self.weights)
        on_tracks = self._tracked(crops, episodes)
        appearances = appearances_of(crops, vectors, on_tracks)
        if self._a_person_had_a_say(episodes):
            return self._without_help(show, episodes, appearances, crops, vectors, on_tracks)
        gallery = galleries_by_show(self.store.read("character_gallery")).get(show, [])
        shown = self.store.read_many("clusters", episodes).select(["image_id", "characters"]).to_pylist()
        return facts_of_show(show, appearances, gallery, {row["image_id"]: row["characters"] for row in shown})

    def _tracked(self, crops: Sequence[Mapping[str, Any]], episodes: Sequence[str]) -> Tracked:
        if self.settings.tracks.mode == "off":
            return Tracked()
        tables = (self.store.find("tracks", episode) for episode in episodes)
        return tracked(crops, [table for table in tables if table is not None], self.weights)

    def _a_person_had_a_say(self, episodes: Iterable[str]) -> bool:
        """Whether what the tables say of who is who was corrected by hand."""
        tables = (self.store.find("matched_corrections", episode) for episode in episodes)
        return any(
            reader in ABOUT_PEOPLE for table in tables if table is not None for reader in table["reader"].to_pylist()
        )

    def _without_help(
        self,
        show: str,
        episodes: Sequence[str],
        appearances: Appearances,
        crops: Sequence[Mapping[str, Any]],
        vectors: Mapping[str, np.ndarray],
        on_tracks: Tracked,
    ) -> ShowFacts:
        """Who is who had nobody had a say, by the rules of character_gallery and clusters."""
        naming = self._naming(episodes, appearances)
        threshold = self.identity.threshold
        rows = build_gallery(
            show,
            appearances,
            self.identity.differences,
            threshold,
            self.settings.character_gallery,
            self.store.identity_log.unwritten,
            self.weights,
            names=naming.names if naming else (),
        )
        gallery = [row | {"exemplars": np.asarray(row["exemplars"], np.float32)} for row in rows]
        found = decide_clusters(
            (),
            crops,
            vectors,
            gallery,
            self.identity.differences,
            self.settings.clusters.max_difference or threshold,
            (lambda some: self._naming(episodes, some) or Naming([""] * len(some), [0.0] * len(some)))
            if naming
            else None,
            on_tracks,
            shots=self.store.read_many("shots", episodes).select(SHOT_COLUMNS).to_pylist(),
        )
        return facts_of_show(show, appearances, gallery, {row["image_id"]: row["characters"] for row in found})

    def _naming(self, episodes: Sequence[str], appearances: Appearances) -> Naming | None:
        """What references call appearances; None where there are none."""
        table = self.store.find("reference_embeddings")
        if table is None or not self.settings.references.found().pictures:
            return None
        references = reference_set(table, self.weights)
        scores = self.store.read_many("tag_scores", episodes)
        named = name_people(appearances, scores, references, self.identity, self.settings.named_characters)
        names = ["" if number == NOBODY else references.names[number] for number in named.numbers]
        return Naming(names, named.differences.tolist())


def facts_of_show(
    show: str, appearances: Appearances, gallery: Sequence[Mapping[str, Any]], shown: Mapping[str, Sequence[str]]
) -> ShowFacts:
    owners = [next((who for crop in crops for who in shown.get(crop, ())), None) for crops in appearances.crops]
    return ShowFacts(
        show,
        appearances,
        owners,
        {row["character"]: np.asarray(row["exemplars"], np.float32) for row in gallery},
        {row["character"]: row["name"] for row in gallery if row["name"] != row["character"]},
    )
