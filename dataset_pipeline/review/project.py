"""A project open for review: its store, its view, and the session of those who look at it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset_pipeline.base.ids import episode_of
from dataset_pipeline.graph.aliases import keys_of_today
from dataset_pipeline.graph.project import correction_log, store_of
from dataset_pipeline.review.actions import Speaker
from dataset_pipeline.review.facts import read_facts
from dataset_pipeline.review.model import View
from dataset_pipeline.review.pictures import Pictures
from dataset_pipeline.review.runs import Run
from dataset_pipeline.review.session import Session
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.roots import path_of
from dataset_pipeline.store.store import Store


class Project:
    """Opened from the store at first and after each run. Raises what `read_facts` raises."""

    def __init__(self, settings: Settings, identity: Any, command: Sequence[str]) -> None:
        self.settings, self.identity = settings, identity
        self.run = Run(command)
        self.store: Store = store_of(settings)
        self.pictures, self.session = self._opened()
        self._opening = threading.Lock()

    def _opened(self) -> tuple[Pictures, Session]:
        facts = read_facts(self.settings, self.store, self.identity)
        pictures = Pictures(self.store, facts)
        view = View(facts, pictures.looks, keys_of_today(self.store))
        return pictures, Session(view, correction_log(self.settings), Speaker(view, pictures.looks))

    def read_again(self) -> None:
        """Take in what a run made of it."""
        with self._opening:
            self.store = store_of(self.settings)
            pictures, session = self._opened()
            with self.session.lock:  # nobody is in the middle of a word that the new session would miss
                session.read_again()
                self.pictures, self.session = pictures, session

    def start_run(self) -> None:
        """Run the episodes that corrections speak of, all of them if none does. Raises ValueError if there is nothing
        to run or a run is under way."""
        spoken_of = {it for event in self.session.said.events for it in event.episodes}
        renamed = keys_of_today(self.store)
        wanted = {str(renamed.get(it, it)) for it in spoken_of} & set(self.store.episodes("video"))
        self.run.start(self._sources(sorted(wanted) or self.store.episodes("video")))

    def _sources(self, episodes: Sequence[str]) -> list[str]:
        """Where the sources of episodes lie, of those that are still there."""
        pointers = (self.store.pointer("video", episode_of(episode)) for episode in episodes)
        paths = (path_of(self.settings, pointer) for pointer in pointers)
        return [path for path in paths if path and Path(path).exists()]
