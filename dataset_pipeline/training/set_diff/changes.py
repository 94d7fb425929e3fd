"""What changed in what two sets were made from, and which of it can have caused a difference."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataset_pipeline.base.ids import show_of
from dataset_pipeline.settings.changes import told_change
from dataset_pipeline.store.lineage import JOINED, Lineage, Made

Key = tuple[str, str]  # section and key of the settings
NOTHING = Made()
CAUSES_NAMED = 3


@dataclass(frozen=True)
class Reason:
    """Why something differs. what: the decision in words, the same for all that it was taken for. causes: what of the
    settings, sources or weights changed it; several where it cannot be known which, none where nothing is on record.
    detail: of this image alone."""

    what: str
    causes: tuple[str, ...] = ()
    detail: str = ""

    @property
    def cause(self) -> str:
        """The causes in words: `[selection] min_quality 0.2 -> 0.3`, or `X and Y both changed`."""
        if len(self.causes) < 2:
            return "".join(self.causes)
        if len(self.causes) == 2:
            return f"{self.causes[0]} and {self.causes[1]} both changed"
        shown, more = self.causes[:CAUSES_NAMED], len(self.causes) - CAUSES_NAMED
        return f"{', '.join(shown)}{f' and {more} more' if more > 0 else ''} all changed"

    @property
    def short(self) -> str:
        """Without the detail, to count by."""
        return _joined(self.what, self.causes, self.cause)

    @property
    def sentence(self) -> str:
        return _joined(" ".join(filter(None, [self.what, self.detail])), self.causes, self.cause)


def _joined(what: str, causes: tuple[str, ...], cause: str) -> str:
    if not cause:
        return what or "nothing on record says why"
    if len(causes) > 1:
        return f"{what}; {cause}" if what else cause
    return f"{what}, since {cause}" if what else f"since {cause}"


def most_frequent(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """The causes that most of the reasons have, an episode or a class that came or left among them; none where none has
    any."""
    counts = Counter(
        it.causes or (it.what,) for it in reasons if it.causes or it.what.startswith(("episode ", "class "))
    )
    if not counts:
        return ()
    causes, _ = counts.most_common(1)[0]
    return (f"{causes[0]} above all",) if len(counts) > 1 and len(causes) == 1 else causes


class Changes:
    """The changes between two lineages. behind: everything an asset is made from, by asset. joined: the assets that see
    all episodes at once.

    keys(asset, episode): the changed settings of an asset, by section and key, in words. own(asset, episode): these,
    and other weights, and a newer version of the step. upstream(asset, episode, without): what changed in an asset and
    in all that is behind it, each once, but for the assets of which it is known that they had no part.
    """

    def __init__(
        self, old: Lineage, new: Lineage, behind: Mapping[str, Iterable[str]], joined: Collection[str]
    ) -> None:
        self.old, self.new, self._joined = old, new, joined
        self._behind = {asset: tuple(sorted(before)) for asset, before in behind.items()}
        self.keys = functools.cache(self._keys)
        self.own = functools.cache(self._own)
        self.upstream = functools.cache(self._upstream)
        known = bool(old.sources and new.sources)
        self.came = sorted(new.sources.keys() - old.sources.keys()) if known else []
        self.gone = sorted(old.sources.keys() - new.sources.keys()) if known else []
        self.replaced = sorted(key for key in old.sources.keys() & new.sources.keys() if self._is_replaced(key))

    def _is_replaced(self, episode: str) -> bool:
        """A newer version of the step that reads sources gives all of them another version."""
        old, new = self._made("video_probe", episode)
        same_step = old.algorithm == new.algorithm
        return same_step and self.old.sources[episode] != self.new.sources[episode]

    def all(self) -> list[str]:
        """Every change, sources first, each once."""
        told = [*(f"episode {it} is new" for it in self.came), *(f"episode {it} is gone" for it in self.gone)]
        told += [f"episode {it} was replaced" for it in self.replaced]
        episodes = sorted({JOINED, *self.old.sources, *self.new.sources})
        assets = sorted(self.old.steps.keys() & self.new.steps.keys())
        return list(dict.fromkeys([*told, *(it for asset in assets for ep in episodes for it in self.own(asset, ep))]))

    def _keys(self, asset: str, episode: str) -> dict[Key, str]:
        old, new = self._made(asset, episode)
        told: dict[Key, str] = {}
        for section in [it for it in new.settings if it in old.settings]:
            before, now = old.settings[section], new.settings[section]
            for name in {**now, **before}:
                if text := changed_key(section, name, before, now):
                    told[section, name] = text
        return told

    def _own(self, asset: str, episode: str) -> tuple[str, ...]:
        old, new = self._made(asset, episode)
        told = list(self.keys(asset, episode).values())
        roles = sorted(old.models.keys() & new.models.keys())
        told += [f"other weights of the {role} model" for role in roles if old.models[role] != new.models[role]]
        if old.algorithm and new.algorithm and old.algorithm != new.algorithm:
            told.append(f"a newer version of the step {asset}")
        return tuple(told)

    def _upstream(self, asset: str, episode: str, without: Collection[str] = frozenset()) -> tuple[str, ...]:
        assets = [it for it in (*self._behind.get(asset, ()), asset) if it not in without]
        told = [it for name in assets for it in self.own(name, episode)]
        if episode in self.replaced and "video_probe" in assets:
            told.append(f"episode {episode} was replaced")
        if any(name in self._joined for name in assets):
            show = show_of(episode) if episode else ""
            for words, keys in (("is new", self.came), ("is gone", self.gone), ("was replaced", self.replaced)):
                others = [key for key in keys if key != episode and (not show or show_of(key) == show)]
                if others:
                    told.append(_episodes(others, words))
        return tuple(dict.fromkeys(told))

    def causes(self, asset: str, episode: str, keys: Iterable[Key] = (), fallback: str = "") -> tuple[str, ...]:
        """Those of the keys that changed; if none did, what changed in `fallback` (or the asset) and behind it."""
        changed = self.keys(asset, episode)
        if found := tuple(changed[key] for key in keys if key in changed):
            return found
        return self.upstream(fallback or asset, episode)

    def _made(self, asset: str, episode: str) -> tuple[Made, Made]:
        old, new = self.old.made(asset, episode), self.new.made(asset, episode)
        return (old, new) if old and new else (NOTHING, NOTHING)


def changed_key(section: str, name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """`[section] name old -> new`; empty if nothing changed. Weights of concepts are told pattern by pattern."""
    if (section, name) == ("concept_balance", "weights"):
        texts = changed_weights(before.get(name, ()), now.get(name, ()))
        return f"[{section}] {name} {', '.join(texts.values())}" if texts else ""
    text = told_change(name, before, now)
    return f"[{section}] {text}" if text else ""


def changed_weights(before: Iterable[Mapping[str, Any]], now: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """`pattern old -> new` by pattern; a pattern without a weight weighs 1."""
    old, new = ({it["pattern"]: it["weight"] for it in reversed(list(weights))} for weights in (before, now))
    return {
        pattern: f"{pattern} {old.get(pattern, 1.0):g} -> {new.get(pattern, 1.0):g}"
        for pattern in {**old, **new}
        if old.get(pattern, 1.0) != new.get(pattern, 1.0)
    }


def _episodes(keys: list[str], words: str) -> str:
    if len(keys) == 1:
        return f"episode {keys[0]} {words}"
    return f"episodes {keys[0]} and {len(keys) - 1} more {words.replace('is', 'are').replace('was', 'were')}"
