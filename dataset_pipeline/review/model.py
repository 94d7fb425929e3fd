"""The page's view of a project: what was read from its store, and what follows from all that a person has said."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dataset_pipeline.assets.corrections import READERS
from dataset_pipeline.base.ids import episode_of, kind_of_span, pts_ms_of, show_of
from dataset_pipeline.characters.appearances import HEADS
from dataset_pipeline.corrections.addressing import MATCHED, STITCHED, Addressed, Episodes, Part, addressed, parts_for
from dataset_pipeline.corrections.answers import REJECTED, Edits, chosen_by_hand, set_captions, tag_edits
from dataset_pipeline.corrections.matching import Looks, Matcher, matched_rows
from dataset_pipeline.reports.corrections import Unmatched, unmatched_of
from dataset_pipeline.review.asking import ask_next
from dataset_pipeline.review.facts import Facts
from dataset_pipeline.review.people import READER, Answer, Person, ShowPeople

ANSWERED, REFUSED, REJECTED_MARK = 1, 2, 4  # bits of `marks`
OF_PEOPLE, PLAIN = ("owner", "near", "second"), ("difference", "certainty", "from_own", "from_others")
WEIGHED = 8  # tiles whose answers are weighed against one another at a time


@dataclass(frozen=True)
class Tile:
    """An appearance as the page shows it: one person at one time. cover: the crop that stands for it."""

    crops: tuple[str, ...]
    cover: str
    show: int  # number of the show, and of the appearance in it
    place: int

    @property
    def episode(self) -> str:
        return episode_of(self.cover)

    @property
    def pts_s(self) -> float | None:
        ms = pts_ms_of(self.cover)
        return None if ms is None else ms / 1000


@dataclass
class Now:
    """Where things stand: one entry for each tile, characters as numbers into `View.characters`, -1 for nobody."""

    people: dict[str, Person]
    owner: np.ndarray
    near: np.ndarray
    second: np.ndarray
    difference: np.ndarray
    certainty: np.ndarray
    marks: np.ndarray
    from_own: np.ndarray
    from_others: np.ndarray
    chosen: dict[str, str] = field(default_factory=dict)
    tags: dict[str, Edits] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)


class View:
    """Tiles in an order that stays, and who is on them. Characters get numbers that stay, new ones the next.

    edition: of no other view. Numbers of tiles and characters mean something together with it alone.
    """

    def __init__(self, facts: Facts, looks: Looks, renamed: Mapping[str, str] | None = None) -> None:
        self.facts = facts
        self.edition = secrets.token_urlsafe(9)
        self.episodes = Episodes(facts.sources, renamed or {})
        self.shows = [ShowPeople(it, facts.limit, facts.differences_to) for it in facts.shows]
        self.tiles = [tile for k in range(len(self.shows)) for tile in self._tiles_of(k)]
        self.tile_of = {crop: number for number, tile in enumerate(self.tiles) for crop in tile.crops}
        self.characters: list[str] = sorted({who for show in facts.shows for who in show.exemplars})
        self._number: dict[str, int] = {who: number for number, who in enumerate(self.characters)}
        self._looks = looks
        self._matchers: dict[str, dict[str, Matcher]] = {}
        self._rows: dict[str, list[dict]] = {}
        self.unmatched: dict[str, Unmatched | None] = {}  # by event, of all whose rows were found
        of_show = [[n for n, tile in enumerate(self.tiles) if tile.show == k] for k in range(len(self.shows))]
        self._numbers = [np.array(numbers, np.int64) for numbers in of_show]
        self._places = [np.array([self.tiles[n].place for n in numbers], np.int64) for numbers in of_show]

    def _tiles_of(self, k: int) -> list[Tile]:
        show = self.shows[k]
        appearances, owners = show.facts.appearances, show.facts.owners
        sizes: dict[str, int] = {}
        for owner in owners:
            sizes[owner or ""] = sizes.get(owner or "", 0) + 1

        def place(i: int) -> tuple:
            group, owner = int(show.groups[i]), owners[i]
            if owner is not None:
                return (0, -sizes[owner], owner, appearances.crops[i][0])
            return (1, 0, "", appearances.crops[i][0]) if group < 0 else (0, 1, f"{group:09d}", appearances.crops[i][0])

        order = sorted(range(len(appearances)), key=place)
        return [Tile(appearances.crops[i], self._cover(appearances.crops[i]), k, i) for i in order]

    def _cover(self, crops: Sequence[str]) -> str:
        def rank(crop: str) -> tuple:
            row = self.facts.images.get(crop)
            if row is None:
                return (0, 0, 0)
            return (1, row["kind"] in HEADS, row["width_px"] * row["height_px"])

        return max(crops, key=rank)

    @cached_property
    def group(self) -> np.ndarray:
        """int64 [tiles]: of each unknown tile its group, counted on over the shows; -1 for all others."""
        found, offset = np.full(len(self.tiles), -1), 0
        for show, numbers, places in zip(self.shows, self._numbers, self._places, strict=True):
            groups = show.groups[places]
            found[numbers] = np.where(groups >= 0, groups + offset, -1)
            offset += int(show.groups.max(initial=-1)) + 1
        return found

    def rows_of(self, event: Any, when: str) -> list[dict]:
        """Rows of `matched_corrections` for an event, found once and kept."""
        if event.id not in self._rows:
            said = addressed([event], {event.id: when}, self.episodes)
            rows = {
                episode: matched_rows(parts_for(MATCHED, told), self._matcher("images", episode), READERS)
                for episode, told in said.rows.items()
                if told
            }
            self._rows[event.id] = [row for found in rows.values() for row in found]
            self.unmatched[event.id] = next(iter(unmatched_of([event], said, *self._lost(said, rows))), None)
        return self._rows[event.id]

    def _lost(self, said: Addressed, rows: Mapping[str, list[dict]]) -> tuple[Mapping[str, list[dict]], dict]:
        """The rows but for frames that those who read of frames found, and by event the frames that they did not."""
        lost: dict[str, list[str]] = {}
        seen: set[tuple[str, str, int]] = set()
        for episode, told in said.rows.items():
            for reader, among in (
                ("distinct_frames", "frames"),
                ("crops", "stills"),
                *((it, "stitched") for it in STITCHED),
            ):
                matcher = self._matcher(among, episode)
                for part in parts_for(reader, told):
                    for name, number, frame in _frames_of(part, reader):
                        if matcher.match(frame).image_id:
                            seen.add((episode, name, number))
                        else:
                            lost.setdefault(part.event, []).append(frame["image"])
        left = {
            episode: [row for row in found if (episode, row["field"], row["number"]) not in seen]
            for episode, found in rows.items()
        }
        return left, lost

    def _matcher(self, among: str, episode: str) -> Matcher:
        """Finds pictures of an episode. among: all images, its stills alone, its candidate frames, or its panoramas and
        plates. Those that are no stills count among all images."""
        if among not in self._matchers:
            of = {"frames": self.facts.frames, "stills": self.facts.images, "stitched": self.facts.stitched}
            rows = of[among] if among in of else self.facts.stitched | self.facts.images
            pixels: dict[str, dict[str, str]] = {it: {} for it in self.facts.sources}
            for image, row in rows.items():
                if among != "stills" or "#" not in image:
                    pixels.setdefault(episode_of(image), {})[image] = row["pixel_sha256"] or ""
            self._matchers[among] = {
                it: Matcher(known, self.facts.sources.get(it, ""), self._looks) for it, known in pixels.items()
            }
        return self._matchers[among][episode]

    def now(self, in_force: Iterable[tuple[Any, str]]) -> Now:
        """What follows from the events in force, each with when it was said."""
        rows = [row for event, when in in_force for row in self.rows_of(event, when)]
        of_reader: dict[str, list[dict]] = {}
        for row in rows:
            of_reader.setdefault(row["reader"], []).append(row)
        about_people = of_reader.get(READER, [])
        by_show: dict[str, list[dict]] = {}
        for row in about_people:
            by_show.setdefault(self._show_of_row(row), []).append(row)
        answers = [show.answer(by_show.get(show.facts.show, ())) for show in self.shows]
        now = self._together(answers)
        now.chosen = chosen_by_hand(of_reader.get("selection", ()))
        now.tags = tag_edits(of_reader.get("tags", ()))
        now.captions = set_captions(of_reader.get("captions", ()))
        for number in {self.tile_of[image] for image in now.chosen if image in self.tile_of}:
            if all(now.chosen.get(crop) == REJECTED for crop in self.tiles[number].crops):
                now.marks[number] |= REJECTED_MARK
        return now

    def asked_next(self, now: Now, count: int) -> list[int]:
        """Numbers of tiles that a person should be asked about, those first of whom an answer settles most, then the
        least certain. Nobody is asked about who was answered, refused or rejected."""
        is_open = now.marks == 0
        found: list[tuple[int, float]] = []
        for k, show in enumerate(self.shows):
            numbers, places = self._numbers[k], self._places[k]
            vectors = show.facts.appearances.vectors[places]
            chosen = ask_next(
                vectors,
                now.owner[numbers] >= 0,
                now.from_own[numbers],
                now.from_others[numbers],
                is_open[numbers],
                self.facts.limit,
                self.facts.differences_to,
                min(count, WEIGHED),
            )
            found += [(int(numbers[i]), gain) for i, gain in chosen]
        first = [tile for tile, _ in sorted(found, key=lambda it: -it[1])][:WEIGHED]
        order = np.argsort(now.certainty, kind="stable")
        rest = order[is_open[order]][: count + len(first)].tolist()
        return list(dict.fromkeys([*first, *rest]))[:count]

    def _show_of_row(self, row: Mapping[str, Any]) -> str:
        """A row without a picture, as of a bare rename, is of the show that holds the character."""
        if row["image_id"]:
            return show_of(row["image_id"])
        character = json.loads(row["value"]).get("character", "")
        holders = [show.facts.show for show in self.shows if character in show.facts.exemplars]
        return holders[0] if holders else (self.shows[0].facts.show if self.shows else "")

    def _together(self, answers: Sequence[Answer]) -> Now:
        people: dict[str, Person] = {}
        for person in (person for answer in answers for person in answer.people):
            if person.named or person.character not in people:  # somebody in two shows is called as one of them says
                people[person.character] = person
        for character in people:
            if character not in self._number:
                self._number[character] = len(self.characters)
                self.characters.append(character)
        found: dict[str, list[np.ndarray]] = {name: [] for name in (*OF_PEOPLE, *PLAIN, "marks")}
        for answer, places in zip(answers, self._places, strict=True):
            number = np.array([*(self._number[it.character] for it in answer.people), -1], np.int64)
            for name in OF_PEOPLE:
                found[name].append(number[getattr(answer, name)[places]])
            for name in PLAIN:
                found[name].append(getattr(answer, name)[places])
            found["marks"].append((ANSWERED * answer.answered + REFUSED * answer.refused)[places])
        joined = {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in found.items()}
        return Now(people, **joined)  # pyright: ignore[reportArgumentType]


def _frames_of(part: Part, reader: str) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """What a part names of that a reader makes pictures of: field, number and picture. A crop is no frame, nor is one
    that a box replaces."""
    for name, pictures in part.pictures.items():
        for number, picture in enumerate(pictures):
            if reader == "crops":
                is_its = name != "instead_of"
            else:
                is_its = "#" not in picture["image"] and kind_of_span(picture["image"]) in STITCHED.get(reader, ("",))
            if is_its:
                yield name, number, picture
