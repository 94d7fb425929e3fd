"""What to do about the episodes that lie in the project's folders: which are new, replaced, moved, removed or back.

Plain data in and out: `plan` gets a listing, what is remembered of earlier ones, the time, and `Facts` to ask.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from dataset_pipeline.settings import ArrivalsSettings
from dataset_pipeline.sources.keys import claims_of, keys_of, may_go_by, source_of
from dataset_pipeline.sources.locations import path_key, root_of
from dataset_pipeline.sources.passed_over import PassedOver
from dataset_pipeline.sources.source import Found, Rejected, Source

READS_AT_ONCE = 200  # files opened, and candidates looked up, in one tick, which must end within a minute
ARRIVALS_AT_ONCE = 20
EVENTS_AT_ONCE = 50  # Dagster's daemon takes up to 50 ms to record each
CALM_S = 120
CLOCKS_APART_S = 86_400.0  # at most, of two machines; a wrong time zone is less
NAMED = 3  # so many paths are named in a note

Whereabouts = Literal["there", "gone", "unseen"]


@dataclass(frozen=True)
class Recorded:
    """What is on record of an episode: the fingerprint that Dagster has of it, the path where it lies, and the key of
    the run that was to measure it, empty if it was registered by hand."""

    fingerprint: str
    path: str
    run_key: str


@dataclass(frozen=True)
class Seen:
    """The source at a path.

    `stamp`: how it was listed, from `since_s` on; `fingerprint`: empty until it was read. `episode`: the key it goes
    by, and `taken` the fingerprint it was last taken up with; empty if it never was. `absent`: looks in a row at which
    it was gone; 2 once it is marked as removed.
    """

    stamp: str
    since_s: int
    fingerprint: str = ""
    episode: str = ""
    taken: str = ""
    absent: int = 0


@dataclass(frozen=True)
class KnownFile:
    """A file whose ending does not say what it is. `content`: what its first bytes say; empty until it has settled."""

    stamp: str
    since_s: int
    content: str = ""


@dataclass(frozen=True)
class State:
    """What is remembered from one look to the next: sources and files by path.

    `batch_began_s`: when the first of a backlog were handed over. `calm_since_s`: since when no run has been seen,
    while the rest of the backlog waits for joined assets. None if there is nothing of the kind.
    """

    sources: Mapping[str, Seen] = field(default_factory=dict)
    files: Mapping[str, KnownFile] = field(default_factory=dict)
    batch_began_s: int | None = None
    calm_since_s: int | None = None

    VERSION: ClassVar[int] = 1

    @property
    def cursor(self) -> str:
        """Compressed JSON, as Dagster keeps a copy with every tick."""
        sources = [[at, *astuple(seen)] for at, seen in sorted(self.sources.items())]
        files = [[at, *astuple(known)] for at, known in sorted(self.files.items())]
        text = json.dumps([self.VERSION, sources, files, self.batch_began_s, self.calm_since_s], separators=(",", ":"))
        return base64.b85encode(zlib.compress(text.encode(), 9)).decode()

    @classmethod
    def of(cls, cursor: str | None) -> State:
        """What a cursor holds; nothing if it is damaged or of another version, which costs reading all again."""
        try:
            version, sources, files, *times = json.loads(zlib.decompress(base64.b85decode(cursor or "")))
            if version != cls.VERSION:
                return cls()
            began_s, calm_s = (None if time_s is None else int(time_s) for time_s in times)
            return cls(
                {str(at): Seen(str(a), int(b), str(c), str(d), str(e), int(f)) for at, a, b, c, d, e, f in sources},
                {str(at): KnownFile(str(a), int(b), str(c)) for at, a, b, c in files},
                began_s,
                calm_s,
            )
        except (ValueError, TypeError, zlib.error):
            return cls()


@dataclass(frozen=True)
class Listing:
    """What lies in one root. `fault`: why that is not known, and what to do."""

    root: Path
    found: Sequence[Found] = ()
    rejected: Sequence[Rejected] = ()
    fault: str = ""
    passed_over: Sequence[PassedOver] = ()


@dataclass(frozen=True)
class Capacity:
    """How many measuring runs may be added. `fault`: why none may be, and what to do."""

    runs: int
    fault: str = ""


class Facts(Protocol):
    """What a plan asks of the world; most looks ask nothing but `registered`."""

    def fingerprint(self, source: Found) -> str:
        """Read it. Raises OSError."""
        ...

    def whereabouts(self, path: str, root: Path | None) -> Whereabouts: ...

    def recorded(self, keys: Sequence[str]) -> Mapping[str, Recorded]: ...

    def registered(self) -> Set[str]:
        """The keys that are partitions."""
        ...

    def started(self, run_key: str) -> bool:
        """Whether there is a run of this key, whatever became of it."""
        ...

    def capacity(self) -> Capacity: ...

    def busy(self) -> bool:
        """Whether any run of the project is queued or running."""
        ...


@dataclass(frozen=True)
class Arrival:
    """A source to register and to measure, in the run of this key."""

    source: Source
    run_key: str


@dataclass(frozen=True)
class Mark:
    """That the source of an episode was removed from where it lay, or is back there."""

    episode: str
    fingerprint: str
    path: str
    back: bool


@dataclass
class Plan:
    """What to do. `moved` sources are registered at their new place and not measured again."""

    state: State = field(default_factory=State)
    arriving: list[Arrival] = field(default_factory=list)
    moved: list[Source] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def has_settled(mtime_ns: int, since_s: float, settle_s: float, now_s: float) -> bool:
    """Whether a file that has looked the same since `since_s`, by our clock, is old enough. Its own date is by the
    clock of the machine that keeps it, and counts only if it is old by whichever clock."""
    return now_s - since_s >= settle_s or now_s - mtime_ns / 1e9 >= settle_s + CLOCKS_APART_S


def plan(
    before: State,
    listings: Sequence[Listing],
    files: Mapping[str, KnownFile],
    limits: ArrivalsSettings,
    facts: Facts,
    now_s: float,
) -> Plan:
    """What to do after one look at all roots. `files`: what is known now of files whose ending does not tell."""
    return _Planner(before, listings, files, limits, facts, int(now_s)).plan()


class _Planner:
    """One look: `sources` is what is known after it, begun with what lies there and completed with what does not."""

    def __init__(
        self,
        before: State,
        listings: Sequence[Listing],
        files: Mapping[str, KnownFile],
        limits: ArrivalsSettings,
        facts: Facts,
        now_s: int,
    ) -> None:
        self.before, self.limits, self.facts, self.now_s = before, limits, facts, now_s
        self.files = files
        self.faults = {listing.root: listing.fault or self._emptied(listing) for listing in listings}
        by_real_path: dict[str, Found] = {}
        for listing in listings:
            for item in listing.found:
                by_real_path.setdefault(item.real_path, item)
        self.found = {path_key(item.path): item for item in by_real_path.values()}
        self.registered = facts.registered()
        self.sources = {at: self._known_now(at, item) for at, item in self.found.items()}
        self.done = Plan(notes=[fault for fault in self.faults.values() if fault])
        self.done.notes += _named(
            "no episode", [f"{x.path} {x.reason}" for listing in listings for x in listing.rejected]
        )
        self.batch_began_s, self.calm_since_s = before.batch_began_s, before.calm_since_s

    def plan(self) -> Plan:
        ready = self._read()
        self._take_up([at for at in ready if self.sources[at].taken != self.sources[at].fingerprint])
        self._mark_back(ready)
        self._mark_removed()
        out = [at for at, seen in self.sources.items() if seen.taken and seen.episode not in self.registered]
        arrived = {arrival.source.key for arrival in self.done.arriving}
        self.done.notes += _named(
            "taken out for good; `dataset-pipeline run` takes one in again",
            [at for at in out if at in self.found and self.sources[at].episode not in arrived],
        )
        self.done.state = State(self.sources, self.files, self.batch_began_s, self.calm_since_s)
        return self.done

    def _emptied(self, listing: Listing) -> str:
        if listing.found:
            return ""
        known = [at for at, seen in self.before.sources.items() if seen.episode and seen.absent < 2]
        lost = sum(root_of(at, [listing.root]) is not None for at in known)
        if not lost:
            return ""
        return (
            f"{listing.root} holds nothing, but {lost} episodes lay in it: mount its disk; if they were deleted, "
            f"take them out by name with `dataset-pipeline prune`"
        )

    def _known_now(self, at: str, item: Found) -> Seen:
        old = self.before.sources.get(at)
        if old is None:
            return Seen(item.stamp, self.now_s)
        seen = old if old.stamp == item.stamp else replace(old, stamp=item.stamp, since_s=self.now_s, fingerprint="")
        if seen.episode and self._is_misnamed(at, item, seen.episode):
            seen = replace(seen, episode="", taken="")  # taken up again, under the key that its name has today
        return replace(seen, absent=0) if seen.absent == 1 else seen

    def _read(self) -> list[str]:
        """Read what has settled, what failed last time last. Returns the paths whose fingerprint is known."""
        same = [
            at
            for at, item in self.found.items()
            if not item.unfinished and (old := self.before.sources.get(at)) and old.stamp == item.stamp
        ]
        unread = [
            at
            for at in same
            if not self.sources[at].fingerprint
            and has_settled(self.found[at].mtime_ns, self.sources[at].since_s, self.limits.settle_s, self.now_s)
        ]
        failed = []
        for at in sorted(unread, key=lambda at: (self.sources[at].since_s, at))[:READS_AT_ONCE]:
            try:
                fingerprint = self.facts.fingerprint(self.found[at])
            except OSError as error:
                self.sources[at] = replace(self.sources[at], since_s=self.now_s)
                failed.append(f"{at} ({error.strerror or error})")
            else:
                self.sources[at] = replace(self.sources[at], fingerprint=fingerprint)
        self.done.notes += _named("cannot be read", failed)
        if (left := len(unread) - READS_AT_ONCE) > 0:
            self.done.notes.append(f"{left} of {len(self.found)} sources wait to be read")
        return [at for at in same if self.sources[at].fingerprint]

    # Taking up what is new.

    @cached_property
    def _claims(self) -> dict[str, tuple[str, str]]:
        return dict(zip(self.found, claims_of(list(self.found.values())), strict=True))

    def _is_misnamed(self, at: str, item: Found, key: str) -> bool:
        claims = self._claims[at]
        if key in claims or not any(known in self.registered for known in (key, *claims)):  # taken out for good
            return False
        return not may_go_by(item.path, item.kind, key)

    @cached_property
    def _owners(self) -> dict[str, str]:
        """Where the source of each remembered episode lies or lay, by key."""
        return {seen.episode: at for at, seen in {**self.before.sources, **self.sources}.items() if seen.episode}

    def _take_up(self, candidates: list[str]) -> None:
        own = {at: self.sources[at].episode for at in candidates}
        candidates = sorted(candidates, key=lambda at: (own[at] or self._claims[at][0], at))
        asked = candidates[:READS_AT_ONCE]
        wanted = [key for at in asked for key in ([own[at]] if own[at] else self._claims[at])]
        on_record = self.facts.recorded(wanted) if wanted else {}
        keys, away = self._keys(on_record) if any(not own[at] for at in asked) else ({}, set())
        arriving: list[tuple[str, str, str]] = []
        held_up = []
        for at in asked:
            key = own[at] or keys[at]
            if not own[at] and self._claims[at][0] in away:
                held_up.append(f"{at} (for {self._claims[at][0]})")
                continue
            owner = self._owners.get(key, at)
            if owner != at and not self._confirmed_gone(owner):
                continue
            record = on_record.get(key)
            taken = self._last_seen(owner).taken
            begun = record is not None and record.fingerprint == self.sources[at].fingerprint
            if record and begun and record.run_key and not self.facts.started(record.run_key):
                arriving.append((at, key, record.run_key))  # a tick died before it asked for this run
            elif begun or taken == self.sources[at].fingerprint:
                lay_at = owner if taken else path_key(record.path) if record else at
                self._adopt(at, key, moved=lay_at != at)
            else:
                arriving.append((at, key, ""))
        self.done.notes += _named("waits for the disk of the episode whose name it bears", held_up)
        self._hand_over(arriving, waiting=len(candidates) - len(asked))

    def _keys(self, on_record: Mapping[str, Recorded]) -> tuple[dict[str, str], set[str]]:
        """The key of every source there is, and those keys whose own source may be on a disk that is away."""
        away = set()

        def owner_of(key: str) -> Path | None:
            path = self._owners.get(key) or (on_record[key].path if key in on_record else "")
            if not path:
                return None
            if path_key(path) in self.found:
                return self.found[path_key(path)].path
            where = self._whereabouts(path)
            if where == "unseen" and self._root_of(path):
                away.add(key)
            return Path(path) if where == "there" else None

        return dict(zip(self.found, keys_of(list(self.found.values()), owner_of), strict=True)), away

    def _last_seen(self, at: str) -> Seen:
        return self.sources.get(at) or self.before.sources[at]

    def _confirmed_gone(self, at: str) -> bool:
        """Not for the first time, where looks at its root can tell."""
        return self._last_seen(at).absent >= 1 or self._root_of(at) is None or self._whereabouts(at) == "there"

    def _adopt(self, at: str, key: str, moved: bool) -> None:
        """Take a source for the one that is known by this key."""
        if moved and key in self.registered:
            if self._events_left <= 0:
                return
            self.done.moved.append(source_of(self.found[at], key, self.sources[at].fingerprint))
        self._set_taken(at, key)

    def _set_taken(self, at: str, key: str) -> None:
        seen = self.sources[at]
        self.sources[at] = replace(seen, episode=key, taken=seen.fingerprint, absent=0)

    def _hand_over(self, arriving: list[tuple[str, str, str]], waiting: int) -> None:
        count = self._allowed(len(arriving), waiting)
        for at, key, run_key in arriving[:count]:
            source = source_of(self.found[at], key, self.sources[at].fingerprint)
            self.done.arriving.append(Arrival(source, run_key or self._fresh_run_key(source)))
            self._set_taken(at, key)

    def _fresh_run_key(self, source: Source) -> str:
        """Counts up where a file comes back after another one: that is a run of its own."""
        numbered = (f"{source.key}/{source.fingerprint}/{n}" for n in itertools.count(1))
        return next(run_key for run_key in numbered if not self.facts.started(run_key))

    def _allowed(self, wanted: int, waiting: int) -> int:
        """How many may be handed over now; keeps the time of the batch while others wait."""
        total = wanted + waiting
        if not wanted:
            self.batch_began_s, self.calm_since_s = None, None
            return 0
        capacity = self.facts.capacity()
        if capacity.fault:
            self.done.notes.append(f"{total} episodes wait. {capacity.fault}")
            return 0
        if self.batch_began_s is not None and self.now_s - self.batch_began_s >= self.limits.join_interval_h * 3600:
            self.calm_since_s = None if self.facts.busy() else self.calm_since_s or self.now_s
            if self.calm_since_s is None or self.now_s - self.calm_since_s < CALM_S:
                self.done.notes.append(
                    f"{total} episodes wait until characters, balance and the set have caught up "
                    f"([arrivals] join_interval_h = {self.limits.join_interval_h:g})"
                )
                return 0
            self.batch_began_s, self.calm_since_s = None, None
        count = min(wanted, capacity.runs, ARRIVALS_AT_ONCE)
        if count == total:
            self.batch_began_s = None
        elif count and self.batch_began_s is None:
            self.batch_began_s = self.now_s
        if count < total:
            self.done.notes.append(f"{total - count} episodes wait for their turn ([arrivals] at_once)")
        return count

    # What is not there, or there again.

    @property
    def _events_left(self) -> int:
        return EVENTS_AT_ONCE - len(self.done.moved) - len(self.done.marks)

    def _mark_back(self, ready: Iterable[str]) -> None:
        for at in ready:
            seen = self.sources[at]
            if seen.absent and seen.taken == seen.fingerprint and self._mark(at, seen, back=True):
                self.sources[at] = replace(seen, absent=0)

    def _mark_removed(self) -> None:
        """Only what is gone from a healthy root, twice, and whose key no other file is about to take over."""
        taken_over = {seen.episode for seen in self.sources.values()}
        for at, seen in self.before.sources.items():
            if at in self.found or not seen.episode or seen.episode in taken_over:
                continue
            root = self._root_of(at)
            if root is not None and seen.absent < 2:
                gone = not self.faults[root] and self._whereabouts(at) == "gone"
                if gone and seen.absent and not self._claimed(seen.episode):
                    seen = replace(seen, absent=2 if self._mark(at, seen, back=False) else 1)
                else:
                    seen = replace(seen, absent=int(gone))
            self.sources[at] = seen

    def _claimed(self, key: str) -> bool:
        return any(key in claims for at, claims in self._claims.items() if not self.sources[at].episode)

    def _mark(self, at: str, seen: Seen, back: bool) -> bool:
        """False if it has to wait for the next look."""
        if seen.episode not in self.registered:
            return True
        if self._events_left <= 0:
            return False
        self.done.marks.append(Mark(seen.episode, seen.taken, at, back))
        return True

    def _whereabouts(self, path: str) -> Whereabouts:
        root = self._root_of(path)
        if root is not None and self.faults[root]:
            return "unseen"
        return self.facts.whereabouts(path, root)

    def _root_of(self, path: str) -> Path | None:
        return root_of(path, self.faults)


def _named(what: str, things: Sequence[str]) -> list[str]:
    """A note that names the first few of them."""
    if not things:
        return []
    more = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return [f"{what}: {'; '.join(things[:NAMED])}{more}"]
