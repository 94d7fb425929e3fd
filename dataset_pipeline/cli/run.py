"""`run` and `demo`: episodes into a training set."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataset_pipeline.base.errors import PermanentError, full_disk
from dataset_pipeline.base.progress import TimeLeft
from dataset_pipeline.cli.common import (
    FAILED,
    PARTLY,
    JsonOption,
    ModelsOption,
    SettingsOption,
    SourcesArgument,
    dagster_instance,
    settings_from,
    stop,
    store_to_write,
)
from dataset_pipeline.cli.console import FOR_PATHS, err, out, showing_progress, table_of
from dataset_pipeline.settings import Settings, project_folder

if TYPE_CHECKING:
    import dagster as dg

    from dataset_pipeline.orchestration.registration import CarriedOver
    from dataset_pipeline.orchestration.runs import Outcome
    from dataset_pipeline.reports.run_report import Report
    from dataset_pipeline.reports.super_resolution import SrReport
    from dataset_pipeline.sources.finding import Discovery

# Of the demo: some tiles of the pictures that the training set is made of, ranked without a model.
SMALL_SR_SET: dict[str, Any] = {
    "sr_sources__of": "stills",
    "sr_tiles__scales": [1.0],
    "sr_tiles__step_px": 512,
    "sr_selection__metric": "sharpness",
    "sr_selection__how": "keep_best",
    "sr_selection__by": "count",
    "sr_selection__amount": 24.0,
}


def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Where everything goes, Dagster's history too; data/demo of the project if not given.",
            resolve_path=True,
        ),
    ] = None,
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw three episodes of a made-up show and turn them into a training set, with the shipped demo models, and into a
    small set for super-resolution."""
    from dataset_pipeline.demo.episodes import write_show
    from dataset_pipeline.models.registry import ROLES

    own = folder is not None
    root = folder or project_folder() / "data" / "demo"
    places = {"store__root": str(root / "store"), "exported_set__root": str(root / "exports")} if own else {}
    own_models = {f"models__{role}": [] if role == "detector" else "" for role in ROLES}
    settings = settings_from(settings_file, "demo", **own_models, **places)
    with showing_progress(as_json) as show:
        write_show(root / "episodes", progress=lambda done, total: show.inner("drawing three episodes", done, total))
    home = root / ".dagster" if own else None
    report = make_set(settings, [root / "episodes"], as_json, home=home)
    small = settings_from(settings_file, "demo", **own_models, **places, **SMALL_SR_SET)
    finish(report, settings, as_json, _sr_set(small, [root / "episodes"], as_json, home))


def run(
    paths: SourcesArgument = None,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
    submit: Annotated[
        bool, typer.Option("--submit", help="Hand what is to be measured to the queue of the daemon, and return.")
    ] = False,
) -> None:
    """Turn episodes into a training set. What has been done before is kept; files stay where they lie."""
    settings = settings_from(settings_file, models)
    if submit:
        submit_graph(settings, paths, as_json)
        return
    if settings.cluster.is_set:  # whose head could not tell that a run in this process is dead
        stop("[cluster] is set, and its workers measure: hand episodes over with `dataset-pipeline run --submit`")
    finish(make_set(settings, paths, as_json), settings, as_json)


def _sr_set(settings: Settings, paths: list[Path], as_json: bool, home: Path | None) -> SrReport:
    """A set for super-resolution of the same episodes."""
    from dataset_pipeline.graph.declaration import behind
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.reports.super_resolution import sr_report_on

    only = behind("sr_set", settings)
    ran = run_graph(settings, paths, as_json, home, only)
    return sr_report_on(store_of(settings), ran.outcome, ran.calls, only)


def make_set(settings: Settings, paths: list[Path] | None, as_json: bool, home: Path | None = None) -> Report:
    """Find the sources in `paths`, or in the roots of the settings, and make everything that is due of them.

    home: where Dagster's history lies, the project's if not given."""
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.reports.run_report import report_on

    ran = run_graph(settings, paths, as_json, home)
    return report_on(store_of(settings), ran.outcome, ran.rejected, ran.calls, ran.renamed, ran.passed_over)


@dataclass(frozen=True)
class Ran:
    """A run of the graph: what it did, why paths are no source, what models were asked, which episodes go by another
    key now, and what was passed over."""

    outcome: Outcome
    rejected: dict[str, str]
    calls: dict[str, int]
    renamed: Sequence[str]
    passed_over: Sequence[str]


def run_graph(
    settings: Settings,
    paths: list[Path] | None,
    as_json: bool,
    home: Path | None = None,
    only: Collection[str] | None = None,
    narrowed: Callable[[Settings, Sequence[str]], Settings] = lambda settings, episodes: settings,
) -> Ran:
    """As `make_set`, of the assets in `only` if they are given. narrowed: gives the settings for the episodes that are
    found. Ends the command where there is no episode."""
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.models.loading import CALLS, reset_calls
    from dataset_pipeline.orchestration.runs import earlier_rates, materialize_all

    looked = _look(settings, paths, only)
    reset_calls()
    with dagster_instance(home, settings) as instance, warnings.catch_warnings(), showing_progress(as_json) as show:
        warnings.simplefilter("ignore")
        carried = _registered(instance, settings, looked)
        sizes = {source.key: float(source.size_bytes) for source in carried.sources}
        settings = narrowed(settings, list(sizes))
        show.time_left = TimeLeft(sizes, earlier_rates(instance, settings, sizes, only=only))
        outcome = materialize_all(
            build_definitions(settings),
            instance,
            settings,
            list(sizes),
            show.outer,
            time_left=show.time_left,
            only=only,
        )
    return Ran(outcome, looked.rejected, dict(CALLS), carried.notes, looked.passed_over)


def submit_graph(settings: Settings, paths: list[Path] | None, as_json: bool) -> None:
    """Find the sources as `make_set`, and ask the daemon to measure those for which that is due. All that follows is
    the automation's."""
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.orchestration.runs import submit_measuring

    looked = _look(settings, paths, None)
    with dagster_instance(None, settings) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        carried = _registered(instance, settings, looked)
        asked = submit_measuring(
            build_definitions(settings), instance, settings, [source.key for source in carried.sources]
        )
    if as_json:
        told = {"backfill": asked.backfill_id, "episodes": asked.episodes, "under_way": asked.under_way}
        print(json.dumps(told | {"renamed": list(carried.notes), "rejected": looked.rejected}, indent=1))
        return
    print_troubles(looked.rejected, [*carried.notes, *looked.passed_over], ())
    if asked.under_way:
        out.print(f"{len(asked.under_way)} episodes are under way already")
    if not asked.episodes:
        out.print("nothing else is to be measured")
        return
    out.print(
        f"backfill {asked.backfill_id} measures {len(asked.episodes)} episodes; joins and the set follow by themselves"
    )
    out.print("to follow it: `dataset-pipeline status`, on several machines `dataset-pipeline workers`, and the web UI")


@dataclass(frozen=True)
class _Looked:
    """What lies in the places that were given, at least one source, and why paths are none."""

    places: Sequence[Path]
    found: Discovery
    rejected: dict[str, str]
    passed_over: Sequence[str]


def _look(settings: Settings, paths: list[Path] | None, only: Collection[str] | None) -> _Looked:
    """Ends the command where there is no episode, and where the store is another's."""
    from dataset_pipeline.graph.declaration import DECLARATIONS
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.sources.passed_over import remember_passed_over, summaries_by_root
    from dataset_pipeline.sources.roots import roots_of

    store, places = store_of(settings), paths or roots_of(settings)
    roles = None if only is None else {role for name in only for role in DECLARATIONS[name].models}
    found = find_in(places, settings, folders_of_shows=not paths, roles=roles)
    rejected: dict[str, str] = {}
    for entry in found.rejected:
        rejected[str(entry.path)] = "; ".join(filter(None, [rejected.get(str(entry.path)), entry.reason]))
    passed_over = summaries_by_root(found.passed_over, places)
    store_to_write(settings)
    for place in places:
        remember_passed_over(store, Path(os.path.abspath(place)), found.left_in(place))
    if not found.sources:
        for sentence in [*(f"{path}: {reason}" for path, reason in rejected.items()), *passed_over]:
            err.print(sentence, style="red", **FOR_PATHS)
        stop(f"no episodes in {', '.join(map(str, places))}")
    return _Looked(places, found, rejected, passed_over)


def _registered(instance: dg.DagsterInstance, settings: Settings, looked: _Looked) -> CarriedOver:
    """The sources under their keys of today, made known to Dagster and the store."""
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.orchestration.registration import carry_over, register
    from dataset_pipeline.sources.roots import roots_of

    store = store_of(settings)
    trees = [Path(os.path.abspath(place)) for place in [*looked.places, *roots_of(settings)]]
    carried = carry_over(instance, store, settings, looked.found.sources, trees)
    register(instance, store, settings, carried.sources)
    return carried


def find_in(
    places: Sequence[Path], settings: Settings, folders_of_shows: bool, roles: Collection[str] | None = None
) -> Discovery:
    """What lies in the places. roles: of the models that are needed, all if not given. Ends the command where weights,
    the device or a place are missing, and where the set's cut is meant for another metric."""
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.models.device import onnx_device, torch_device
    from dataset_pipeline.models.injected import cut_fault, missing_weights, model_resources
    from dataset_pipeline.orchestration.registration import owner_in
    from dataset_pipeline.sources.finding import find_sources
    from dataset_pipeline.sources.roots import roots_of

    try:
        resources = {role: it for role, it in model_resources(settings).items() if roles is None or role in roles}
        if missing := missing_weights(resources):
            stop("\n".join(missing))
        if roles is None and (fault := cut_fault(settings, resources["quality"])):
            stop(fault)
        owner_of = owner_in(store_of(settings), settings)
        found = find_sources(places, owner_of, folders_of_shows, roots_of(settings))
        if resources and settings.models.device.startswith("cuda"):
            torch_device(settings.models.device)
            onnx_device(settings.models.device)
    except OSError as error:
        stop(str(error))
    return found


def finish(report: Report, settings: Settings, as_json: bool, sr_set: SrReport | None = None) -> None:
    """Write the sheet of characters, print what a run came to, and end with its exit code. sr_set: what was made beside
    the training set."""
    from dataset_pipeline.graph.project import export_root, store_of
    from dataset_pipeline.reports.run_report import write_character_sheet

    sheet = export_root(settings) / "characters.jpg"
    names: list[str] = []
    try:
        names = write_character_sheet(store_of(settings), sheet)
    except (OSError, ValueError, PermanentError) as error:
        report.unwritten.append(f"{sheet} could not be written: {full_disk(error) or error}")
    if as_json:
        beside = {"super_resolution": sr_set.as_dict()} if sr_set else {}
        print(json.dumps(report.as_dict() | {"character_sheet": str(sheet)} | beside, indent=1))
    else:
        print_report(report, sheet, len(names))
        if sr_set:
            print_troubles({}, sr_set.faults, sr_set.failures)
            out.print(f"The super-resolution set of {sr_set.selected} tiles:", sr_set.folder or "none", **FOR_PATHS)
    if not report.export_folder or report.unwritten:
        raise typer.Exit(FAILED)
    if not report.whole or (sr_set and not sr_set.folder):
        raise typer.Exit(PARTLY)


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
    if found := report.naming:
        out.print(
            f"by references: {found['names']} names on {found['crops']} crops, "
            f"{found['characters_without_a_name']} characters without a name (`dataset-pipeline references`)",
            highlight=False,
        )
    for note in (*report.renamed, *report.notices):
        out.print(note, **FOR_PATHS)
    for episode, assets in report.empty.items():
        out.print(f"{episode}: nothing in {', '.join(assets)}", highlight=False)
    for episode, reasons in report.damaged.items():
        err.print(f"{episode}: {'; '.join(reasons)}", style="yellow", **FOR_PATHS)
    for episode, faults in report.faults.items():
        for fault in faults:
            err.print(f"{episode or 'all episodes'}: {fault}", style="yellow", **FOR_PATHS)
    print_troubles(report.rejected, report.passed_over, report.failures)
    for reason in report.unwritten:
        err.print(reason, style="red", **FOR_PATHS)
    calls = sum(count for name, count in report.model_calls.items() if name.endswith(".pictures"))
    out.print(
        f"{len(report.episodes)} episodes in {report.seconds:.0f} s, {calls} pictures through models, "
        f"{characters} characters: {sheet}",
        **FOR_PATHS,
    )  # fmt: skip
    if report.made_with_demo_models:
        out.print(
            "Made with the demo models, which know only drawn scenes: good for trying things out.", style="yellow"
        )
    if not report.export_folder:
        err.print(f"Nothing was exported: {_why_nothing(report, sheet)}.", style="red", **FOR_PATHS)
    else:
        out.print("The training set:", report.export_folder, **FOR_PATHS)


def print_troubles(
    rejected: Mapping[str, str], sentences: Iterable[str], failures: Iterable[Mapping[str, str]]
) -> None:
    """What was not taken in, what else is amiss, what failed. failures: asset, episode (empty of all) and error."""
    for path, reason in rejected.items():
        err.print(f"{path}: {reason}", style="yellow", **FOR_PATHS)
    for sentence in sentences:
        err.print(sentence, style="yellow", **FOR_PATHS)
    for failure in failures:
        where = failure["episode"] or "all episodes"
        err.print(f"{failure['asset']} failed for {where}: {failure['error']}", style="red", **FOR_PATHS)


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
