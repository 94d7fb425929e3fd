"""The states an asset of an episode can be in, and a project's status in words and plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

State = Literal["failed", "stale", "missing", "waiting", "queued", "running", "fresh"]
STATES: tuple[State, ...] = get_args(State)  # what needs a person first
JOINED = ""  # stands where an episode's key would, for assets over all episodes
ABSENT = "its inputs are missing"
ASSETS_NAMED = 3

Place = tuple[str, str]  # asset, and episode or JOINED


@dataclass(frozen=True)
class Cell:
    """One asset of one episode. `why`: empty if fresh. `host`: the machine on which it is running, if its run tells."""

    state: State
    why: str = ""
    host: str = ""


FRESH = Cell("fresh")


@dataclass(frozen=True)
class Reason:
    """Cells of an asset in one state for one reason. `episodes` is empty if the asset is joined."""

    asset: str
    state: State
    why: str
    episodes: tuple[str, ...]

    def __str__(self) -> str:
        many = f"{len(self.episodes)} episodes" if len(self.episodes) > 1 else "".join(self.episodes)
        about = " ".join(part for part in (many, self.state) if part)
        return f"{self.asset}: {about}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Status:
    """`cells`: by asset in the order of the work, then by episode, or under JOINED. By episode: `gone` has the path at
    which the source is not any more, `faults` what speaks against its checks, damage above all. `notes`: what else to
    know. `passed_over`: what the last looks for episodes did not take in, in sentences. `corrections`: how many a
    person made and how many hold, empty if none was made. `machines`: who works on the project, in sentences; empty
    where it is one machine."""

    store: str
    episodes: tuple[str, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    gone: Mapping[str, str]
    faults: Mapping[str, Sequence[str]]
    notes: Sequence[str]
    passed_over: Sequence[str] = ()
    corrections: str = ""
    machines: Sequence[str] = ()

    def counts(self, *assets: str) -> dict[State, int]:
        """How many cells are in each state: of the named assets, or of all."""
        found = Counter(cell.state for asset in assets or self.cells for cell in self.cells[asset].values())
        return {state: found[state] for state in STATES}

    @property
    def worst(self) -> State:
        """The state that comes first in STATES of those there are."""
        there: list[State] = [state for state, count in self.counts().items() if count]
        return there[0] if there else "fresh"

    @property
    def whole(self) -> bool:
        """Everything is fresh, nothing speaks against any check, and nothing was passed over."""
        return self.worst == "fresh" and not self.faults and not self.passed_over

    def reasons(self) -> list[Reason]:
        """Everything that is not fresh, alike cells together; what needs a person first, then in the order of the work.

        Runs differ for each episode; of what is queued or running the machine is the reason.
        """
        groups: dict[tuple[State, str, str], list[str]] = {}
        for asset, cells in self.cells.items():
            for episode, cell in cells.items():
                if cell.state != "fresh":
                    on = f"on {cell.host}" if cell.host else ""
                    why = on if cell.state in ("queued", "running") else cell.why
                    groups.setdefault((cell.state, asset, why), []).append(episode)
        found = [
            Reason(asset, state, why, tuple(episode for episode in episodes if episode != JOINED))
            for (state, asset, why), episodes in groups.items()
        ]
        return sorted(found, key=lambda reason: STATES.index(reason.state))

    def reason_lines(self) -> list[str]:
        """The reasons in words, a line for each cause; what only follows from others is one line for all assets."""
        causes: list[str] = []
        following: dict[tuple[State, str], list[Reason]] = {}
        for reason in self.reasons():
            if reason.state in ("stale", "failed") or (reason.state == "missing" and ABSENT not in reason.why):
                causes.append(str(reason))
            else:
                following.setdefault((reason.state, reason.why), []).append(reason)
        for (state, why), reasons in following.items():
            assets = ", ".join(reason.asset for reason in reasons[:ASSETS_NAMED])
            more = f" and {len(reasons) - ASSETS_NAMED} more assets" if len(reasons) > ASSETS_NAMED else ""
            episodes = {episode for reason in reasons for episode in reason.episodes}
            causes.append(str(Reason(f"{assets}{more}", state, why, tuple(sorted(episodes)))))
        return causes

    def problems(self) -> list[str]:
        """What a person should look at: notes, failures, sources that are gone, damage."""
        failed = [str(reason) for reason in self.reasons() if reason.state == "failed"]
        gone = [f"{episode}: its source is not at {path} any more" for episode, path in self.gone.items()]
        return [*self.notes, *failed, *gone, *self.fault_lines()]

    def fault_lines(self) -> list[str]:
        """What speaks against the checks, a line for each episode, and what was passed over."""
        faults = [f"{episode or 'all episodes'}: {'; '.join(faults)}" for episode, faults in self.faults.items()]
        return [*faults, *self.passed_over]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them.

        `store`, `episodes`, `notes`, `gone`, `faults`, `passed_over`, `corrections`, `machines` and `whole` as above;
        `counts`: cells by state;
        `assets`: the same for each asset; `open`: the cells that are not fresh, each with `asset`, `episode` (null if
        joined), `state`, `why`, `host`.
        """
        return {
            "store": self.store,
            "episodes": list(self.episodes),
            "counts": self.counts(),
            "assets": {asset: self.counts(asset) for asset in self.cells},
            "open": [
                {"asset": asset, "episode": episode or None} | vars(cell)
                for asset, cells in self.cells.items()
                for episode, cell in cells.items()
                if cell.state != "fresh"
            ],
            "gone": dict(self.gone),
            "whole": self.whole,
            "faults": {episode: list(faults) for episode, faults in self.faults.items()},
            "notes": list(self.notes),
            "passed_over": list(self.passed_over),
            "corrections": self.corrections,
            "machines": list(self.machines),
        }
