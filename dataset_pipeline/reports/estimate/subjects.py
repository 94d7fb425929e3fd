"""Which sources excerpts are cut from, and which of them stands for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from dataset_pipeline.base.errors import PermanentError
from dataset_pipeline.base.parallel import map_all
from dataset_pipeline.graph.declaration import declared, is_joined
from dataset_pipeline.graph.materializing import is_current
from dataset_pipeline.graph.project import store_of
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.pictures import PictureFile, list_pictures
from dataset_pipeline.models.injected import model_resources
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.source import Source
from dataset_pipeline.store.store import TableOutdated
from dataset_pipeline.video.durations import measured, promised_duration_s
from dataset_pipeline.video.stream import VideoError, open_video

SAMPLED_SOURCES = 3


class NothingToMeasure(PermanentError):
    """No source can be read, or no excerpt of any went through the graph."""


@dataclass(frozen=True)
class Subject:
    """A source as its headers show it: seconds of video, or pictures of a folder. `look`: codec and size in pixels."""

    source: Source
    seconds: float
    look: tuple[str, int, int]
    pictures: tuple[PictureFile, ...] = ()

    @property
    def is_folder(self) -> bool:
        return self.source.kind == "folder"

    @property
    def length(self) -> float:
        """Pictures of a folder, seconds of a video."""
        return float(len(self.pictures)) if self.is_folder else self.seconds


def subjects_of(sources: Sequence[Source]) -> tuple[list[Subject], dict[str, str]]:
    """What the headers of the sources say, and why of some nothing can be told, by path."""

    def look_at(source: Source) -> Subject | str:
        if source.kind == "folder":
            pictures = tuple(list_pictures(source.path))
            return Subject(source, 0.0, ("pictures", 0, 0), pictures) if pictures else "holds no pictures"
        try:
            with open_video(source.path) as (container, stream):
                seconds = promised_duration_s(container, stream)
                rate, look = float(stream.average_rate or 0), (stream.codec.name, stream.width, stream.height)
            seconds = seconds or measured(source.path, rate)[1]
        except (VideoError, OSError) as error:
            return getattr(error, "reason", "") or str(error)
        return Subject(source, seconds, look) if seconds > 0 else "holds no frames"

    found = map_all(look_at, list(sources))
    faults = {str(source.path): it for source, it in zip(sources, found, strict=True) if isinstance(it, str)}
    return [it for it in found if isinstance(it, Subject)], faults


def due_of(settings: Settings, sources: Sequence[Source]) -> dict[str, set[str]]:
    """By episode, the assets that the next run makes again, as far as the store tells; what only reads a join counts if
    anything is due at all."""
    store = store_of(settings)
    resources = SimpleNamespace(settings=settings, store=store, **model_resources(settings))
    graph = declared(settings)
    by_episode = [asset for asset in graph if not (is_joined(asset) or graph[asset].on_demand)]

    def due(source: Source) -> set[str]:
        found: set[str] = set()
        try:
            pointer = store.pointer("video", source.key)
        except TableOutdated:
            pointer = None
        if pointer is None or pointer.provenance.fingerprint != source.fingerprint:
            return set(by_episode)
        for asset in by_episode:
            declaration = graph[asset]
            try:
                fresh = is_current(Step(declaration, resources, source.key, None, [source.key]))
            except PermanentError:
                fresh = False
            if not fresh or found & set(declaration.reads):
                found.add(asset)
        return found

    return dict(zip([source.key for source in sources], map_all(due, list(sources)), strict=True))


def sampled(subjects: Sequence[Subject]) -> list[Subject]:
    """The sources to cut excerpts from: one of each look, those with most to do first, then others of the first."""
    by_look: dict[tuple[str, int, int], list[Subject]] = {}
    for subject in subjects:
        by_look.setdefault(subject.look, []).append(subject)
    looks = sorted(by_look.values(), key=lambda members: -sum(member.length for member in members))
    chosen = [members[len(members) // 2] for members in looks[:SAMPLED_SOURCES]]
    rest = [member for member in looks[0] if member not in chosen]
    wanted = min(SAMPLED_SOURCES - len(chosen), len(rest))
    return chosen + [rest[(2 * n + 1) * len(rest) // (2 * wanted)] for n in range(wanted)]


def like(subject: Subject, among: Sequence[Subject]) -> Subject:
    """The sampled source that stands for another: of the same kind and codec if there is one, nearest in pixels."""

    def distance(other: Subject) -> tuple[bool, bool, int, float]:
        pixels = subject.look[1] * subject.look[2], other.look[1] * other.look[2]
        length = abs(subject.length - other.length)
        return (
            subject.is_folder != other.is_folder,
            subject.look[0] != other.look[0],
            abs(pixels[0] - pixels[1]),
            length,
        )

    return subject if subject in among else min(among, key=distance)
