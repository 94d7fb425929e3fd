"""A person at work: what they say is on the disk before it is answered, and counts at once.

Where things stand follows from the store and the log of corrections alone, so that a server that is killed loses
nothing, and taking back brings back what was.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from dataset_pipeline.corrections.events import event_of, in_force
from dataset_pipeline.corrections.log import CorrectionLog, Corrections
from dataset_pipeline.review.actions import Speaker, Unclear, tiles_of
from dataset_pipeline.review.model import Now, View

BY = "review page"


class SaidUnread(Exception):
    """Something was said and is on the disk, but what follows from it could not be read."""


@dataclass(frozen=True)
class Change:
    """What a word of a person changed: the numbers of the tiles that are another's, or sure to another degree."""

    before: Now
    now: Now
    tiles: np.ndarray


class Session:
    """One project under review, for several browsers at once."""

    def __init__(self, view: View, log: CorrectionLog, speaker: Speaker) -> None:
        self.view, self.log, self.speaker = view, log, speaker
        self.lock = threading.RLock()
        self.said: Corrections = log.read()
        self.now = view.now(self._in_force())

    def _in_force(self) -> list[tuple[Any, str]]:
        return [(event, self.said.when[event.id]) for event in in_force(self.said.events)]

    @property
    def holding(self) -> list[Any]:
        """The events that no other one undid, as they were said."""
        return list(in_force(self.said.events))

    def act(self, action: Mapping[str, Any]) -> Change:
        """Say what an action means. Raises Unclear, and StoreError where it cannot be written: then nothing was
        said. Raises SaidUnread where it was."""
        with self.lock:
            return self._say(self.speaker.events(action, self.now))

    def undo(self) -> Change:
        """Take back the last thing that was said on this page and still counts. Raises Unclear if there is none."""
        with self.lock:
            if not (last := self.own):
                raise Unclear("there is nothing left to undo that was said here")
            return self._say([event_of({"do": "undo", "event": event.id}) for event in last[-1]])

    def take_back(self, event: str) -> Change:
        """Take back one thing that was said, wherever that was. Raises Unclear if it does not count any more."""
        with self.lock:
            if event not in {it.id for it in self.holding}:
                raise Unclear(f"{event!r} is nothing that counts")
            return self._say([event_of({"do": "undo", "event": event})])

    @property
    def own(self) -> list[list[Any]]:
        """What was said on this page and still counts, one list for each action, in order."""
        ours = [event for event in self.holding if self.said.by.get(event.id) == BY]
        return [list(events) for _, events in groupby(ours, key=lambda event: self.said.when[event.id])]

    def likeness_to(self, tiles: Any) -> list[float | None]:
        """How far each tile is from the nearest of these; None for those of other shows. Raises Unclear."""
        view = self.view
        selected: dict[int, list[int]] = {}
        for it in tiles_of(tiles, len(view.tiles)):
            selected.setdefault(view.tiles[it].show, []).append(view.tiles[it].place)
        found = {k: view.shows[k].likeness_to(places) for k, places in selected.items()}
        return [round(float(found[it.show][it.place]), 4) if it.show in found else None for it in view.tiles]

    def _say(self, events: Sequence[Any]) -> Change:
        self.log.append(events, BY)
        try:
            return self.read_again()
        except Exception as error:  # whatever it is: nobody may take what was said for unsaid
            raise SaidUnread(
                f"this was said and is kept, but how things stand could not be read ({error}): load the page anew"
            ) from error

    def read_again(self) -> Change:
        """Take in what the log holds by now, whoever wrote it."""
        with self.lock:
            self.said = self.log.read()
            before, self.now = self.now, self.view.now(self._in_force())
            return Change(before, self.now, changed_tiles(before, self.now))


def changed_tiles(before: Now, now: Now) -> np.ndarray:
    """Numbers of the tiles that stand otherwise."""
    differs = np.zeros(len(now.owner), bool)
    for name in ("owner", "near", "second", "marks"):
        differs |= getattr(before, name) != getattr(now, name)
    for name in ("certainty", "difference"):
        differs |= ~np.isclose(getattr(before, name), getattr(now, name), rtol=0, atol=1e-6)
    return differs.nonzero()[0]
