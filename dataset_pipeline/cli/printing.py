"""What the command line prints for people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dataset_pipeline.reports.explain import Explanation
    from dataset_pipeline.reports.run_report import Report
    from dataset_pipeline.reports.status import Cell, State, Status
    from dataset_pipeline.training.exporters.rewrite import RewriteReport

FOR_PATHS: dict[str, Any] = {"highlight": False, "soft_wrap": True}
PIPED_COLUMNS = 200  # where no terminal says how wide it is, nor COLUMNS


def console_for(stderr: bool = False) -> Console:
    """Paths and messages hold square brackets and colons, which rich would take for its own markup."""
    console = Console(stderr=stderr, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_COLUMNS
    return console


out, err = console_for(), console_for(stderr=True)

SYMBOLS: dict[State, str] = {
    "fresh": ".",
    "stale": "s",
    "waiting": "w",
    "missing": "-",
    "running": ">",
    "queued": "q",
    "failed": "F",
}
COLORS: dict[State, str] = {"fresh": "green", "stale": "yellow", "missing": "magenta", "failed": "red"}
ROWS_OF_EPISODES = 40  # more episodes are counted by asset
MOST_REASONS = 60
ASSETS_NAMED = 3  # of an episode in one state; more are counted


def table_of(*headers: str, **options: Any) -> Table:
    """A table that breaks a name too long for its column into lines, and never cuts it off."""
    table = Table(**options)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def print_report(report: Report, sheet: Path, characters: int) -> None:
    table = table_of("stage", "what became of it", "images", title="Where every frame went", title_justify="left")
    last = ""
    for stage, outcome, count in report.funnel:
        if last and stage != last:
            table.add_section()
        table.add_row(stage if stage != last else "", outcome, str(count))
        last = stage
    out.print(table)
    concepts = table_of("concept", "images", "probability", "multiply", title="Concepts", title_justify="left")
    for row in report.concepts:
        concepts.add_row(row["concept"], str(row["images"]), f"{row['probability']:.4f}", f"{row['multiply']:.2f}")
    out.print(concepts)
    for note in report.renamed:
        out.print(note, highlight=False, soft_wrap=True)
    for episode, assets in report.empty.items():
        out.print(f"{episode}: nothing in {', '.join(assets)}", highlight=False)
    for episode, reasons in report.damaged.items():
        err.print(f"{episode}: {'; '.join(reasons)}", style="yellow", highlight=False, soft_wrap=True)
    for episode, faults in report.faults.items():
        for fault in faults:
            err.print(f"{episode or 'all episodes'}: {fault}", style="yellow", **FOR_PATHS)
    for path, reason in report.rejected.items():
        err.print(f"{path}: {reason}", style="yellow", highlight=False, soft_wrap=True)
    for sentence in report.passed_over:
        err.print(sentence, style="yellow", **FOR_PATHS)
    for failure in report.failures:
        where = failure["episode"] or "all episodes"
        err.print(
            f"{failure['asset']} failed for {where}: {failure['error']}", style="red", highlight=False, soft_wrap=True
        )
    for reason in report.unwritten:
        err.print(reason, style="red", **FOR_PATHS)
    calls = sum(count for name, count in report.model_calls.items() if name.endswith(".pictures"))
    out.print(
        f"{len(report.episodes)} episodes in {report.seconds:.0f} s, {calls} pictures through models, "
        f"{characters} characters: {sheet}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if report.made_with_demo_models:
        out.print(
            "Made with the demo models, which know only drawn scenes: good for trying things out.", style="yellow"
        )
    if not report.export_folder:
        err.print(f"Nothing was exported: {_why_nothing(report, sheet)}.", style="red", highlight=False, soft_wrap=True)
    else:
        out.print("The training set:", report.export_folder, highlight=False, soft_wrap=True)


def _why_nothing(report: Report, sheet: Path) -> str:
    outcomes = {(stage, outcome): count for stage, outcome, count in report.funnel}
    if outcomes.get(("set", "in the set")):
        return "a set there is, but it could not be written, see above"
    if outcomes.get(("images", "selected")):
        return "images were selected, but a step after that failed, see above"
    reasons = [(count, outcome) for (stage, outcome), count in outcomes.items() if stage == "images"]
    if not reasons:
        failed = "a step failed before there was an image, see above"
        return failed if report.failures else "no frame was found to make an image of"
    count, reason = max(reasons)
    if reason == "character_not_wanted":
        return f"[selection] characters names nobody who was recognised; {sheet} shows who was"
    return f"no image came into the set, {count} of them for the reason {reason}"


def print_rewritten(made: RewriteReport) -> None:
    """What was made again of an exported set, and what was left as a person had changed it."""
    if made.finished:
        out.print("finished what was stopped half way before")
    changed = f"{len(made.captions)} captions and {len(made.multiplies)} multiplies"
    out.print(
        f"{made.folder}: {changed} of {made.images} images changed, {made.written} files written",
        **FOR_PATHS,
    )
    notes = (
        ("folders are named by their repeats; give the trainer the new names", made.renamed, out),
        ("the picture is gone, so the image left the set", made.dropped, out),
        ("changed by hand and left so; delete it to have it written anew", made.left, err),
        ("a trainer's cache of captions that changed; delete it", made.stale, err),
    )
    for note, names, console in notes:
        for name in names:
            console.print(f"{name}: {note}", style="yellow" if console is err else None, **FOR_PATHS)


def print_status(status: Status) -> None:
    """Totals, problems, a row for each episode (or, of many, for each asset), and why things are not fresh."""
    counts = ", ".join(f"{count} {state}" for state, count in status.counts().items() if count)
    out.print(f"{len(status.episodes)} episodes in {status.store}: {counts}", highlight=False, soft_wrap=True)
    problems = status.problems()
    for problem in problems:
        out.print(problem, style="red" if " failed: " in problem else "yellow", highlight=False, soft_wrap=True)
    if len(status.episodes) > ROWS_OF_EPISODES:
        out.print(_by_asset(status))
    elif not status.episodes:
        return
    else:
        out.print(_by_episode(status))
        out.print("  ".join(f"{symbol} {state}" for state, symbol in SYMBOLS.items()), style="dim")
    reasons = [line for line in status.told() if line not in problems]
    for line in reasons[:MOST_REASONS]:
        out.print(line, highlight=False, soft_wrap=True)
    if len(reasons) > MOST_REASONS:
        out.print(f"… and {len(reasons) - MOST_REASONS} more: `dataset-pipeline status --stale` lists everything")


def print_open(status: Status) -> None:
    """`<asset> <episode> <state> <why>`, one line for each cell that is not fresh; `-` stands for all episodes."""
    for asset, cells in status.cells.items():
        for episode, cell in cells.items():
            if cell.state != "fresh":
                out.print(f"{asset} {episode or '-'} {cell.state} {cell.why}".rstrip(), highlight=False, soft_wrap=True)


def _by_asset(status: Status) -> Table:
    table = table_of("asset", *SYMBOLS, box=None)
    for asset in status.cells:
        counts = status.counts(asset)
        table.add_row(asset, *(Text(str(counts[state] or ""), COLORS.get(state, "")) for state in SYMBOLS))
    return table


def _by_episode(status: Status) -> Table:
    """A symbol for each asset in the order of the work, then in words what is not fresh."""
    table = table_of("episode", "assets", "", box=None)
    joined = {asset: cells[""] for asset, cells in status.cells.items() if "" in cells}
    for episode in status.episodes:
        cells = {asset: cells[episode] for asset, cells in status.cells.items() if episode in cells}
        table.add_row(episode, _symbols(cells), _in_words(cells))
    table.add_row("all together", _symbols(joined), _in_words(joined))
    return table


def _symbols(cells: dict[str, Cell]) -> Text:
    return Text.assemble(*((SYMBOLS[cell.state], COLORS.get(cell.state, "")) for cell in cells.values()))


def _in_words(cells: dict[str, Cell]) -> str:
    assets: dict[str, list[str]] = {}
    for asset, cell in cells.items():
        assets.setdefault(cell.state, []).append(asset)
    return "; ".join(f"{state} {_named(assets[state])}" for state in SYMBOLS if state != "fresh" and state in assets)


def _named(assets: Sequence[str]) -> str:
    return ", ".join(assets) if len(assets) <= ASSETS_NAMED else f"{len(assets)} assets"


def funnel_line(stages: Sequence[tuple[str, str, int]]) -> str:
    """The rows of `funnel` in one line: `frames: 40 kept, 60 near_duplicate; … set: 38 in the set`."""
    told: dict[str, list[str]] = {}
    for stage, outcome, count in stages:
        told.setdefault(stage, []).append(f"{count} {outcome}")
    return "; ".join(f"{stage}: {', '.join(outcomes)}" for stage, outcomes in told.items())


def print_readiness(found: Mapping[str, Any], page: Path) -> None:
    """The faults of `readiness`, a line each, and where the page lies."""
    colors = {"serious": "red", "warning": "yellow"}
    for fault in found["faults"]:
        line = Text.assemble((f"{fault['severity']}:", colors.get(fault["severity"], "dim")), " ", fault["message"])
        out.print(line, soft_wrap=True, highlight=False)
    if not found["faults"]:
        out.print("nothing speaks against training on this set", style="green")
    out.print(str(page), soft_wrap=True, highlight=False)


def print_first_screen(told: Explanation) -> None:
    """What is decided of an image, a line each."""
    from dataset_pipeline.reports.first_screen import first_screen

    first, *rest = first_screen(told)
    out.print(first, style="bold", **FOR_PATHS)
    for line in rest:
        out.print(line, **FOR_PATHS)


def print_explanation(told: Explanation) -> None:
    """Every row about an image, with what it was made by."""
    out.print(told.image_id, style="bold", highlight=False)
    where = f"second {told.second_s:.3f} of " if told.second_s is not None else ""
    out.print(f"from {where}{told.source}", highlight=False, soft_wrap=True)
    if told.box_px:
        out.print(f"cut at x {told.box_px[0]}..{told.box_px[2]}, y {told.box_px[1]}..{told.box_px[3]} px")
    if told.made_with_demo_models:
        out.print("made with the demo models", style="yellow")
    table = table_of("asset", "what it says", "by")
    for decision in told.decisions:
        says = "\n".join(f"{name}: {_short(value)}" for name, value in decision.row.items() if value not in (None, ""))
        by = [f"code {decision.code_version}"]
        by += [
            f"[{section}] {name} = {value}"
            for section, values in decision.settings.items()
            for name, value in values.items()
        ]
        by += [f"{model['role']} {model['model']} {model['sha256'][:12]}" for model in decision.models]
        name = decision.asset if decision.of == told.image_id else f"{decision.asset}\n(of the still)"
        table.add_row(name, says, "\n".join(by))
        table.add_section()
    out.print(table)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        parts = [_tag(entry) if isinstance(entry, dict) else str(entry) for entry in value]
        return ", ".join(parts[:20]) + (f" … {len(parts) - 20} more" if len(parts) > 20 else "")
    return str(value)


def _tag(entry: dict[str, Any]) -> str:
    detail = entry.get("reason") or f"{entry.get('score', 0):.2f}"
    return f"{entry.get('tag', '')} ({detail})"


class ProgressLines:
    """Two lines on the terminal: the graph, and the pictures of the asset at work with rate and time left."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar
        self.outer_task = self.inner_task = None
        self.inner_name = ""

    def outer(self, what: str, done: int, total: int) -> None:
        if self.bar is None:
            return
        if self.outer_task is None:
            self.outer_task = self.bar.add_task(what, total=total)
        self.bar.update(self.outer_task, description=what, completed=done, total=total)

    def inner(self, what: str, done: int, total: int | None) -> None:
        if self.bar is None:
            return
        if self.inner_task is None or what != self.inner_name or done == 0:
            if self.inner_task is not None:
                self.bar.remove_task(self.inner_task)
            self.inner_name, self.inner_task = what, self.bar.add_task(what, total=total)
        self.bar.update(self.inner_task, completed=done, total=total)


@contextmanager
def showing_progress(quiet: bool) -> Iterator[ProgressLines]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    from dataset_pipeline.base.progress import LISTENER

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    if quiet:
        yield ProgressLines(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        show = ProgressLines(bar)
        token = LISTENER.set(show.inner)
        try:
            yield show
        finally:
            LISTENER.reset(token)
