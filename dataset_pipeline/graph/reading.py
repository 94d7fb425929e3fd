"""What a step may read: declared tables, settings and models, and how they came about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar, cast

import pyarrow as pa

from dataset_pipeline.base.timing import span
from dataset_pipeline.graph.declaration import Declaration, ancestors, declared, is_by_class, is_joined
from dataset_pipeline.graph.picture_memory import PictureMemory
from dataset_pipeline.graph.versions import MAY_BE_ABSENT
from dataset_pipeline.models.registry import ModelFingerprint
from dataset_pipeline.settings import Settings
from dataset_pipeline.sources.roots import path_of
from dataset_pipeline.store.identity_log import IdentityLog
from dataset_pipeline.store.left_out import Undeclared
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Pointer, Store, TableOutdated

Made = TypeVar("Made")


@dataclass(frozen=True)
class Work:
    """A step as the framework handles it: with the whole store and every resource, which an asset's body has no way to.

    `shared`: what the steps of one run, which may handle many episodes, keep for one another. `due_beside`:
    whether the same run makes an asset anew that it has not made yet. `memory`: the run's pictures.
    """

    declaration: Declaration
    resources: Any
    episode: str | None
    episodes: Sequence[str]
    shared: dict[str, Any]
    due_beside: Callable[[str], bool]
    memory: PictureMemory

    @property
    def store(self) -> Store:
        return self.resources.store

    @property
    def settings(self) -> Settings:
        return self.resources.settings


class Reading:
    """The part of a step that hands out what its asset declares: anything else raises LookupError.

    `shared`, `due_beside`, `memory`: as in Work; without a memory none is held.
    """

    def __init__(
        self,
        declaration: Declaration,
        resources: Any,
        episode: str | None,
        log: Any,
        episodes: Sequence[str],
        shared: dict[str, Any] | None = None,
        due_beside: Callable[[str], bool] = lambda asset: False,
        memory: PictureMemory | None = None,
    ) -> None:
        self.declaration = declaration = declaration.under(resources.settings)
        self.episode = episode
        self.episodes = episodes
        self.log = log
        shared, memory = {} if shared is None else shared, memory or PictureMemory(0)
        self._work = Work(declaration, resources, episode, episodes, shared, due_beside, memory)
        self._pictures = _NamedPictures(declaration.name)
        self._pointers: dict[tuple[str, str | None], Pointer | None] = {}
        self._identity_log: IdentityLog | None = None

    @property
    def settings(self) -> Settings:
        """The declared sections of the settings; any other raises LookupError."""
        return cast(Settings, _DeclaredSections(self._work.settings, self.declaration))

    @property
    def code_version(self) -> str:
        """Of this asset, under the settings and the weights that it declares."""
        weights = {role: fingerprint.sha256 for role, fingerprint in self.fingerprints.items()}
        return self.shared(
            f"code version of {self.declaration.name}",
            lambda: self.declaration.code_version(self._work.settings, weights),
        )

    @property
    def fingerprints(self) -> dict[str, ModelFingerprint]:
        """Of the models that it declares, by role."""
        return self.shared(
            f"fingerprints of {self.declaration.name}",
            lambda: {role: self.model(role).fingerprint() for role in self.declaration.models},
        )

    def model(self, role: str) -> Any:
        """The resource of a declared model role."""
        if role not in self.declaration.models:
            raise LookupError(f"{self.declaration.name} does not declare that it uses the model role {role}")
        return getattr(self._work.resources, role)

    def read(self, asset: str, episodes: Sequence[str] | None = None) -> pa.Table:
        """The current table of a declared asset: of this episode, of all episodes in a joined step, or there of those
        that are named, one after another."""
        return self._pictures.named_in(self._read(asset, episodes))

    def read_columns(self, asset: str, columns: Sequence[str], episodes: Sequence[str] | None = None) -> pa.Table:
        """Those columns of `read`, of an asset made episode by episode; the others are not decoded, and no picture that
        is named there may be looked at."""
        return self._read(asset, episodes, columns).select(list(columns))

    def _read(self, asset: str, episodes: Sequence[str] | None, columns: Sequence[str] | None = None) -> pa.Table:
        self._declared(asset)
        store = self._work.store
        with span("store"):
            # By the pointers that the versions recorded are of: others may write meanwhile.
            if is_joined(asset):
                table = self.shared(f"table {asset}", lambda: store.read(asset, pointer=self._pointer(asset, None)))
            elif (keys := self.keys_over(asset)) is None:
                pointer = self._pointer(asset, self.episode)
                absent = asset in MAY_BE_ABSENT and pointer is None
                table = SCHEMAS[asset].empty() if absent else store.read(asset, self.episode, columns, pointer)
            else:
                keys = keys if episodes is None else episodes
                table = store.read_many(asset, keys, columns, self.pointers(asset, episodes))
        return table

    def pointer(self, asset: str, episode: str | None = None) -> Pointer | None:
        """What is current of a declared asset, and how it came about; None if it was never made.

        `episode`: which one, in a joined step. Raises TableOutdated for a damaged pointer.
        """
        self._declared(asset)
        return self._pointer(asset, episode)

    def pointers(self, asset: str, keys: Sequence[str] | None = None) -> dict[str, Pointer]:
        """The same of those episodes, or classes; or of every one whose table of a declared asset this one reads,
        sorted."""
        self._declared(asset)
        for key in keys or ():
            self._mine(asset, key)
        keys = sorted(self.keys_over(asset) or ()) if keys is None else keys
        if unseen := [key for key in keys if (asset, key) not in self._pointers]:
            found = self._work.store.pointers(asset, unseen)
            self._pointers |= {(asset, key): found.get(key) for key in unseen}
        return {key: pointer for key in keys if (pointer := self._pointers[asset, key])}

    def left_out(self, asset: str) -> dict[str, str]:
        """The images of which a declared asset has no row or no picture, and why; of all episodes in a joined step."""
        if self.keys_over(asset) is None:
            pointers = [self.pointer(asset, self.episode)]
        else:
            pointers = self.pointers(asset).values()
        return {it: why for pointer in pointers if pointer for it, why in pointer.provenance.left_out.items()}

    @property
    def ancestors(self) -> set[str]:
        """Everything that this asset is made from, externals too."""
        return self.shared(
            f"ancestors of {self.declaration.name}",
            lambda: ancestors(self.declaration, declared(self._work.settings)),
        )

    def behind(self, asset: str, episode: str | None = None) -> Pointer | None:
        """How an asset came about that something declared is made from, however far up; as `pointer`."""
        if asset not in self.ancestors:
            raise LookupError(f"{self.declaration.name} reads nothing that is made from {asset}")
        return self._pointer(asset, episode)

    def _pointer(self, asset: str, episode: str | None) -> Pointer | None:
        if is_joined(asset):
            return self.shared(f"pointer {asset}", lambda: self._work.store.pointer(asset))
        if self.keys_over(asset) is None:
            episode = self.episode
        else:
            self._mine(asset, episode)
        key = asset, episode
        if key not in self._pointers:
            self._pointers[key] = self._work.store.pointer(asset, episode)
        return self._pointers[key]

    def _declared(self, asset: str) -> None:
        if asset not in self.declaration.reads:
            raise LookupError(f"{self.declaration.name} does not declare that it reads {asset}")

    def keys_over(self, asset: str) -> Sequence[str] | None:
        """The episodes, or the classes, whose tables of an asset this one reads; None where it reads one table: that of
        its own episode or class, or of all."""
        by_class = is_by_class(asset)
        if is_joined(asset) or (self.episode is not None and by_class == self.declaration.by_class):
            return None
        return self.classes if by_class else self.episodes

    @property
    def classes(self) -> Sequence[str]:
        """The classes of regularization sets, by name."""
        return [it.name for it in self._work.settings.regularization.classes]

    def _mine(self, asset: str, episode: str | None) -> None:
        if episode not in self.shared(f"keys over {asset}", lambda: frozenset(self.keys_over(asset) or ())):
            raise LookupError(f"{self.declaration.name} is made of no episode {episode}")

    def rows(self, asset: str) -> list[dict]:
        """The rows of `read`. Those of a joined table are shared by all episodes of a run: change none."""
        table = self.read(asset)
        return self.shared(f"rows {asset}", table.to_pylist) if is_joined(asset) else table.to_pylist()

    def shared(self, name: str, make: Callable[[], Made]) -> Made:
        """What `make` gives, made once for all episodes of this run."""
        shared = self._work.shared
        if name not in shared:
            shared[name] = make()
        return shared[name]

    def is_due_beside(self, asset: str) -> bool:
        """Whether the same run makes that asset anew and has not done so yet: only then this one may spare it work."""
        return self._work.due_beside(asset)

    def row(self, asset: str) -> dict:
        """The only row of a table that has one row for each episode."""
        return self.rows(asset)[0]

    @property
    def source(self) -> dict:
        """Where the episode's source lies: its row of `video`. What it holds is versioned by video_probe alone, so that
        a file that was merely touched or moved costs one look at it; an asset declares one of the two."""
        assert self.episode is not None
        return self.source_of(self.episode)

    def source_of(self, episode: str) -> dict:
        """As `source`, of an episode of a joined step, or of another that a joined table names: then that table has to
        change with it, as the versions of this asset do not."""
        if not {"video", "video_probe"} & set(self.declaration.reads):
            raise LookupError(f"{self.declaration.name} declares neither video nor video_probe, so it has no source")
        pointer = self._work.store.pointer("video", episode)
        row = self._work.store.read("video", episode, pointer=pointer).to_pylist()[0]
        root = pointer.provenance.root if pointer else ""
        return row | {"root": root, "path": path_of(self._work.settings, pointer)}

    def rows_of(self, asset: str, episode: str) -> list[dict]:
        """The rows of one episode, as in `source_of`, with what the schema wants read `alone`."""
        self._declared(asset)
        if self.keys_over(asset) is not None:
            self._mine(asset, episode)
        return self._pictures.named_in(self._work.store.read(asset, episode)).to_pylist()

    def previous(self) -> list[dict]:
        """The rows this asset wrote last time, if the schema still reads them; empty if there are none."""
        table = self._work.store.previous(self.declaration.name, self.episode)
        return [] if table is None else self._pictures.named_in(table).to_pylist()

    @property
    def last(self) -> Pointer | None:
        """What this asset wrote last time; None if nothing, or if its pointer is damaged."""
        try:
            return self._work.store.pointer(self.declaration.name, self.episode)
        except TableOutdated:  # which writing again repairs
            return None

    @property
    def identity_log(self) -> IdentityLog:
        """Who was found so far, for an asset that declares that it `remembers`."""
        if not self.declaration.remembers:
            raise LookupError(f"{self.declaration.name} does not declare that it remembers identities")
        if self._identity_log is None:
            self._identity_log = self._work.store.identity_log
        return self._identity_log


def work_of(step: Reading) -> Work:
    """The step as the framework handles it. Bodies have no business with it."""
    return step._work


class _NamedPictures:
    """The pictures that a step may look at: those that a table it has read names. Safe in many threads."""

    def __init__(self, asset: str) -> None:
        self._asset = asset
        self._columns: list[pa.ChunkedArray] = []
        self._paths: set[str] = set()
        self._lock = Lock()

    def named_in(self, table: pa.Table) -> pa.Table:
        if "path" in table.column_names:
            with self._lock:
                self._columns.append(table["path"])
        return table

    def check(self, path: str) -> None:
        with self._lock:
            while self._columns:
                self._paths.update(self._columns.pop().to_pylist())
            if path not in self._paths:
                raise Undeclared(f"{self._asset} has read no table that names the picture {path}")


class _DeclaredSections:
    """Settings of which only the sections an asset declares can be read."""

    def __init__(self, settings: Settings, declaration: Declaration):
        self._settings, self._declaration = settings, declaration

    def __getattr__(self, name: str) -> Any:
        if name not in self._declaration.settings:
            raise LookupError(f"{self._declaration.name} does not declare that it reads the settings [{name}]")
        return getattr(self._settings, name)
