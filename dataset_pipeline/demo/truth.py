"""What is true of a drawn episode: its shots, its exposure sheet, and everybody in every drawing."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_pipeline.base.paths import write_whole
from dataset_pipeline.demo.characters import Character
from dataset_pipeline.demo.scenes import DrawnPerson
from dataset_pipeline.demo.shapes import Box

TRUTH_VERSION = 3


@dataclass(frozen=True)
class ShotTruth:
    """A run of frames between two cuts; both frames belong to the shot, `end_s` is where the next one starts."""

    index: int
    kind: str
    first_frame: int
    last_frame: int
    start_s: float
    end_s: float
    backdrop_seed: int | None
    canvas_file: str | None  # beside the truth file: the whole painting that a pan or zoom moves over
    plate_file: str | None  # beside the truth file: the picture without the people


@dataclass(frozen=True)
class Drawing:
    """One distinct picture. `id` is a hash of its pixels, so equal pictures have equal ids in all episodes."""

    id: str
    people: tuple[DrawnPerson, ...]
    blur_sigma_px: float
    motion_blur_px: float
    darkness: float
    pan_x_px: float | None  # where the screen's left edge lies on the shot's canvas
    pan_y_px: float | None
    zoom: float


@dataclass(frozen=True)
class Exposure:
    """Which drawing is held from one frame to another, both included: a line of the exposure sheet."""

    first_frame: int
    last_frame: int
    drawing_id: str


@dataclass(frozen=True)
class EpisodeTruth:
    show: str
    number: int
    file: str
    fps: int
    frame_count: int
    size: tuple[int, int]  # width, height
    cast: tuple[Character, ...]  # one entry for each outfit of a person; whoever is not in it is an extra
    shots: tuple[ShotTruth, ...]
    exposures: tuple[Exposure, ...]
    drawings: Mapping[str, Drawing]

    def shot_at(self, frame_index: int) -> ShotTruth:
        """The shot that a frame belongs to; IndexError outside the episode."""
        self._check(frame_index)
        return self.shots[bisect_right(self.shots, frame_index, key=lambda shot: shot.first_frame) - 1]

    def drawing_at(self, frame_index: int) -> Drawing:
        """The drawing that a frame shows; IndexError outside the episode."""
        self._check(frame_index)
        found = bisect_right(self.exposures, frame_index, key=lambda exposure: exposure.first_frame) - 1
        return self.drawings[self.exposures[found].drawing_id]

    def frame_at(self, seconds: float) -> int:
        """The frame on screen at a time counted from the first frame."""
        return min(self.frame_count - 1, max(0, int(seconds * self.fps + 1e-6)))

    def _check(self, frame_index: int) -> None:
        if not 0 <= frame_index < self.frame_count:
            raise IndexError(f"{self.file} has frames 0 to {self.frame_count - 1}, asked for {frame_index}")


def save_truth(path: Path, truth: EpisodeTruth) -> None:
    """Write a truth file as JSON; everybody's looks are written once, and drawings refer to them by name and outfit."""
    looks: dict[tuple[str, str], Character] = {}
    for drawing in truth.drawings.values():
        for person in drawing.people:
            known = looks.setdefault((person.character.name, person.character.outfit), person.character)
            if known != person.character:
                raise ValueError(f"{truth.file}: two different characters are called {known.name!r}")
    looks |= {(character.name, character.outfit): character for character in truth.cast}
    cast = {character.name for character in truth.cast}
    content = {
        "version": TRUTH_VERSION,
        "show": truth.show,
        "number": truth.number,
        "file": truth.file,
        "fps": truth.fps,
        "frame_count": truth.frame_count,
        "size": list(truth.size),
        "characters": [
            asdict(character) | {"tags": character.tags(), "extra": name not in cast}
            for (name, _), character in sorted(looks.items())
        ],
        "shots": [asdict(shot) for shot in truth.shots],
        "exposures": [[e.first_frame, e.last_frame, e.drawing_id] for e in truth.exposures],
        "drawings": {drawing.id: _drawing_json(drawing) for drawing in truth.drawings.values()},
    }
    write_whole(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())


def load_truth(path: Path) -> EpisodeTruth:
    """Read a truth file; ValueError when it is of another version or lacks something."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != TRUTH_VERSION:
            raise ValueError(f"is of version {content['version']}, not {TRUTH_VERSION}")
        fields = Character.__dataclass_fields__
        looks = {(c["name"], c["outfit"]): Character(**{k: c[k] for k in fields}) for c in content["characters"]}
        return EpisodeTruth(
            show=content["show"],
            number=content["number"],
            file=content["file"],
            fps=content["fps"],
            frame_count=content["frame_count"],
            size=(content["size"][0], content["size"][1]),
            cast=tuple(looks[c["name"], c["outfit"]] for c in content["characters"] if not c["extra"]),
            shots=tuple(ShotTruth(**shot) for shot in content["shots"]),
            exposures=tuple(Exposure(*line) for line in content["exposures"]),
            drawings={key: _drawing_of(key, value, looks) for key, value in content["drawings"].items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"truth file {path}: {error}; draw the episodes again") from error


def _drawing_json(drawing: Drawing) -> dict[str, Any]:
    return {
        "people": [
            {
                "name": person.character.name,
                "outfit": person.character.outfit,
                "person": _rounded(person.person),
                "halfbody": _rounded(person.halfbody),
                "head": _rounded(person.head),
                "face": _rounded(person.face),
                "hands": [_rounded(box) for box in person.hands],
                "eyes": [_rounded(box) for box in person.eyes],
                "visible": round(person.visible, 3),
                "behind": person.behind,
                "mirror": person.mirror,
                "feet": [_rounded(box) for box in person.feet],
            }
            for person in drawing.people
        ],
        "blur_sigma_px": drawing.blur_sigma_px,
        "motion_blur_px": drawing.motion_blur_px,
        "darkness": drawing.darkness,
        "pan_x_px": drawing.pan_x_px,
        "pan_y_px": drawing.pan_y_px,
        "zoom": drawing.zoom,
    }


def _drawing_of(key: str, value: Mapping[str, Any], looks: Mapping[tuple[str, str], Character]) -> Drawing:
    people = tuple(
        DrawnPerson(
            character=looks[person["name"], person["outfit"]],
            person=_box(person["person"]),
            halfbody=_box(person["halfbody"]),
            head=_box(person["head"]),
            face=_box(person["face"]),
            hands=tuple(_box(box) for box in person["hands"]),
            eyes=tuple(_box(box) for box in person["eyes"]),
            visible=person["visible"],
            behind=person["behind"],
            mirror=person["mirror"],
            feet=tuple(_box(box) for box in person["feet"]),
        )
        for person in value["people"]
    )
    return Drawing(id=key, people=people, **{name: value[name] for name in value if name != "people"})


def _rounded(box: Box) -> list[float]:
    return [round(v, 1) for v in box]


def _box(values: Sequence[float]) -> Box:
    x0, y0, x1, y1 = values
    return float(x0), float(y0), float(x1), float(y1)
