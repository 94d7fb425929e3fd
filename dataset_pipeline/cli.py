"""The command line. It materializes the same assets in the same Dagster instance that the web UI shows."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dataset_pipeline.settings import Settings, SettingsError, load_settings, project_folder

if TYPE_CHECKING:
    import dagster as dg

    from dataset_pipeline.explain import Explanation
    from dataset_pipeline.models import ModelPack
    from dataset_pipeline.report import Report
    from dataset_pipeline.store.store import Store

ROLES = ("embedder", "detector", "identity", "quality", "tagger")
FAILED, PARTLY = 1, 3  # exit codes: nothing came out; done, but some inputs were damaged or failed

app = typer.Typer(
    help="Video episodes in, training datasets for image models out.", no_args_is_help=True, add_completion=False
)
models_app = typer.Typer(
    help="The models' weights: what there is, fetching it once, checking it.", no_args_is_help=True
)
app.add_typer(models_app, name="models")

# Paths and messages hold square brackets and colons, which rich would take for its own markup.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)

SettingsOption = Annotated[
    Path | None,
    typer.Option("--settings", help="A file that changes defaults; instead of settings.local.toml.", resolve_path=True),
]
ModelsOption = Annotated[str, typer.Option("--models", help="The model pack: real, demo, or one of models.toml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts.")]


def main() -> None:
    """Entry point of `dataset-pipeline`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that cannot show a title must not stop a run
    try:
        app()
    except Exception as error:
        from dataset_pipeline.models import DeviceUnavailable, RegistryError, WeightsMissing
        from dataset_pipeline.store.store import StoreError

        if not isinstance(error, StoreError | RegistryError | WeightsMissing | DeviceUnavailable):
            raise
        err.print(str(error), style="red", soft_wrap=True)
        sys.exit(FAILED)


@app.command()
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
    """Draw three episodes of a made-up show and turn them into a training set, with the shipped demo models."""
    from dataset_pipeline.demo.episodes import write_show

    own = folder is not None
    root = folder or project_folder() / "data" / "demo"
    places = {"store__root": str(root / "store"), "exported_set__root": str(root / "exports")} if own else {}
    own_models = {f"models__{role}": [] if role == "detector" else "" for role in ROLES}
    settings = _settings(settings_file, models__pack="demo", **own_models, **places)
    with _progress(as_json) as show:
        write_show(root / "episodes", progress=lambda done, total: show.inner("drawing three episodes", done, total))
    report = _run(settings, [root / "episodes"], as_json, home=root / ".dagster" if own else None)
    _finish(report, settings, as_json)


@app.command()
def run(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Videos, folders of pictures, or trees of shows; the roots of [episodes] if not given.",
            resolve_path=True,
        ),
    ] = None,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn episodes into a training set. What has been done before is kept; files stay where they lie."""
    settings = _settings(settings_file, **({"models__pack": models} if models else {}))
    places = paths or [project_folder() / root for root in settings.episodes.roots]
    _finish(_run(settings, places, as_json), settings, as_json)


@app.command()
def explain(
    image: Annotated[str, typer.Argument(help="An image id, or the path of a picture that was exported.")],
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where an image comes from and what was decided about it, by which settings and models."""
    from dataset_pipeline.explain import UnknownImage, image_of
    from dataset_pipeline.explain import explain as gather
    from dataset_pipeline.store.store import StoreError

    try:
        image_id = image_of(image)
    except ValueError as error:
        _stop(str(error))
    told: Explanation | None = None
    faults = []
    for store in _stores_that_may_know(image, models, settings_file):
        try:
            told = gather(store, image_id)
            break
        except (UnknownImage, StoreError, ValueError) as error:
            faults.append(str(error))
    if told is None:
        _stop("\n".join(dict.fromkeys(faults)))
    if as_json:
        print(json.dumps(asdict(told), indent=1))
    else:
        _print_explanation(told)


@app.command()
def export(
    profile: Annotated[str, typer.Argument(help="The trainer: everydream.")] = "everydream",
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the current training set for a trainer, into a fresh folder."""
    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.places import mixing_fault, store_of
    from dataset_pipeline.runs import materialize_assets

    changes = {"models__pack": models} if models else {}
    settings = _settings(settings_file, exported_set__profile=profile, **changes)
    store = store_of(settings)
    if store.pointer("training_set") is None:
        _stop(f"there is no training set in {store.root} yet; `dataset-pipeline run` makes one")
    if fault := mixing_fault(settings, store):
        _stop(fault)
    with _instance(None) as instance:
        failures = materialize_assets(build_definitions(settings), instance, settings, ["exported_set"])
    if failures:
        _stop(failures[0].error)
    rows, pointer = store.read("exported_set").to_pylist(), store.pointer("exported_set")
    if not rows or pointer is None:
        _stop("the training set is empty: nothing was exported")
    exported = rows[0] | {"folder": pointer.provenance["numbers"]["folder"]}
    if as_json:
        print(json.dumps(exported))
    else:
        out.print(f"{exported['pictures']} pictures in {exported['concepts']} concepts for {profile}:")
        out.print(exported["folder"], soft_wrap=True, highlight=False)


@app.command()
def doctor(models: ModelsOption = "", settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Check what a run needs: Python, the device models really run on, weights, disk, writable folders."""
    from dataset_pipeline.doctor import examine
    from dataset_pipeline.models import RegistryError

    settings = _settings(settings_file, **({"models__pack": models} if models else {}))
    try:
        findings = examine(settings)
    except RegistryError as error:
        _stop(str(error))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        table = Table(box=None, show_header=False)
        colors = {"ok": "green", "note": "yellow", "fault": "red"}
        for finding in findings:
            table.add_row(Text(finding.state, colors[finding.state]), finding.what, finding.detail)
        out.print(table)
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(FAILED)


@models_app.command("list")
def models_list(models: ModelsOption = "", settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Every model by role: what it is for, its licence, whether it is used and here."""
    from dataset_pipeline.models.hub import list_models

    statuses = list_models(_pack(models, settings_file))
    if as_json:
        rows = [
            {"name": s.entry.name, "role": s.entry.role, "licence": s.entry.licence, "purpose": s.entry.purpose,
             "used": s.used, "present": s.present, "size_bytes": s.size_bytes}
            for s in statuses
        ]  # fmt: skip
        print(json.dumps(rows, indent=1))
        return
    table = Table("role", "model", "used", "here", "licence", "for")
    for status in statuses:
        entry = status.entry
        here = f"{status.size_bytes / 1e6:.1f} MB" if status.present else "no"
        table.add_row(entry.role, entry.name, "yes" if status.used else "", here, entry.licence, entry.purpose)
    out.print(table)


@models_app.command("pull")
def models_pull(
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    update: Annotated[bool, typer.Option(help="Take the newest files instead of those in the lock.")] = False,
) -> None:
    """Fetch the weights once; everything afterwards runs offline."""
    from dataset_pipeline.models.hub import PullFailed, PullProgress, pull
    from dataset_pipeline.models.registry import RegistryError

    def say(progress: PullProgress) -> None:
        size = f", {progress.size_bytes / 1e6:.1f} MB" if progress.size_bytes else " …"
        out.print(f"{progress.number}/{progress.total} {progress.file}{size}", highlight=False)

    try:
        files = pull(_pack(models, settings_file), update=update, progress=say)
    except (PullFailed, RegistryError) as error:
        _stop(str(error))
    out.print(f"{len(files)} files are here")


@models_app.command("verify")
def models_verify(models: ModelsOption = "", settings_file: SettingsOption = None) -> None:
    """Compare every weight file with the sha256 that was written down when it was fetched."""
    from dataset_pipeline.models.hub import verify

    try:
        checks = verify(_pack(models, settings_file))
    except FileNotFoundError as error:
        _stop(f"{error}; `dataset-pipeline models pull` fetches the weights")
    wrong = [check for check in checks if check.problem]
    for check in wrong:
        err.print(f"{check.path}: {check.problem}", style="red", soft_wrap=True)
    out.print(f"{len(checks) - len(wrong)} of {len(checks)} files are as recorded")
    if wrong:
        raise typer.Exit(FAILED)


# ------------------------------------------------------------------------------------------------ helpers


def _settings(overlay: Path | None, **changes: Any) -> Settings:
    try:
        return load_settings(overlay, **changes)
    except SettingsError as error:
        _stop(str(error))


def _stop(message: str) -> NoReturn:
    err.print(message, style="red", highlight=False, soft_wrap=True)
    raise typer.Exit(FAILED)


def _pack(models: str, settings_file: Path | None) -> ModelPack:
    from dataset_pipeline.models import ModelPack, RegistryError

    chosen = _settings(settings_file, **({"models__pack": models} if models else {})).models
    named = {role: getattr(chosen, role) for role in ROLES}
    try:
        return ModelPack.open(chosen.pack, chosen.cache, {role: name for role, name in named.items() if name})
    except RegistryError as error:
        _stop(str(error))


@contextmanager
def _instance(home: Path | None) -> Iterator[dg.DagsterInstance]:
    """The instance of the web UI: DAGSTER_HOME if set, else the project's dagster.yaml; or one that lies in `home`."""
    import dagster as dg

    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        opened = dg.DagsterInstance.from_config(str(home))
    elif os.environ.get("DAGSTER_HOME"):
        opened = dg.DagsterInstance.get()
    else:
        os.chdir(project_folder())  # dagster.yaml names its folders relative to the project
        opened = dg.DagsterInstance.from_config(".")
    from dataset_pipeline.runs import bury_dead_runs

    with opened as instance:
        bury_dead_runs(instance)
        yield instance


def _run(settings: Settings, paths: list[Path], as_json: bool, home: Path | None = None) -> Report:
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.episodes import find_sources
    from dataset_pipeline.models import DeviceUnavailable, RegistryError
    from dataset_pipeline.models.device import onnx_device, torch_device
    from dataset_pipeline.models.injected import missing_weights, model_resources
    from dataset_pipeline.models.loading import CALLS, reset_calls
    from dataset_pipeline.places import mixing_fault, store_of
    from dataset_pipeline.registration import register
    from dataset_pipeline.report import report_on
    from dataset_pipeline.runs import materialize_all

    try:
        if missing := missing_weights(model_resources(settings)):
            _stop("\n".join(missing))
        found = find_sources(paths)
        if settings.models.device.startswith("cuda"):
            torch_device(settings.models.device)
            onnx_device(settings.models.device)
    except (RegistryError, DeviceUnavailable, OSError) as error:
        _stop(str(error))
    rejected = {str(entry.path): entry.reason for entry in found.rejected}
    if not found.sources:
        for path, reason in rejected.items():
            err.print(f"{path}: {reason}", style="red", soft_wrap=True)
        _stop(f"no episodes in {', '.join(map(str, paths))}")
    store = store_of(settings)
    reset_calls()
    if fault := mixing_fault(settings, store):
        _stop(fault)
    with _instance(home) as instance, warnings.catch_warnings(), _progress(as_json) as show:
        warnings.simplefilter("ignore")
        register(instance, store, settings, found.sources)
        outcome = materialize_all(
            build_definitions(settings), instance, settings, [source.key for source in found.sources], show.outer
        )
    return report_on(store, outcome, rejected, dict(CALLS))


def _finish(report: Report, settings: Settings, as_json: bool) -> None:
    from dataset_pipeline.places import export_root, store_of
    from dataset_pipeline.report import write_character_sheet

    sheet = export_root(settings) / "characters.jpg"
    names = write_character_sheet(store_of(settings), sheet)
    if as_json:
        print(json.dumps(report.as_dict() | {"character_sheet": str(sheet)}, indent=1))
    else:
        _print_report(report, sheet, len(names))
    if not report.export_folder:
        raise typer.Exit(FAILED)
    if not report.whole:
        raise typer.Exit(PARTLY)


def _print_report(report: Report, sheet: Path, characters: int) -> None:
    table = Table("stage", "what became of it", "images", title="Where every frame went", title_justify="left")
    last = ""
    for stage, outcome, count in report.funnel:
        if last and stage != last:
            table.add_section()
        table.add_row(stage if stage != last else "", outcome, str(count))
        last = stage
    out.print(table)
    concepts = Table("concept", "images", "probability", "multiply", title="Concepts", title_justify="left")
    for row in report.concepts:
        concepts.add_row(row["concept"], str(row["images"]), f"{row['probability']:.4f}", f"{row['multiply']:.2f}")
    out.print(concepts)
    for episode, assets in report.empty.items():
        out.print(f"{episode}: nothing in {', '.join(assets)}", highlight=False)
    for episode, reasons in report.damaged.items():
        err.print(f"{episode}: {'; '.join(reasons)}", style="yellow", highlight=False, soft_wrap=True)
    for path, reason in report.rejected.items():
        err.print(f"{path}: {reason}", style="yellow", highlight=False, soft_wrap=True)
    for failure in report.failures:
        where = failure["episode"] or "all episodes"
        err.print(
            f"{failure['asset']} failed for {where}: {failure['error']}", style="red", highlight=False, soft_wrap=True
        )
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
        err.print("No image came into a training set: nothing was exported.", style="red")
    else:
        out.print("The training set:", report.export_folder, highlight=False, soft_wrap=True)


def _stores_that_may_know(image: str, models: str, settings_file: Path | None) -> Iterator[Store]:
    from dataset_pipeline.places import store_of
    from dataset_pipeline.store.store import Store

    path = Path(image)
    if path.is_file():
        for parent in path.resolve().parents:
            if parent.name == "exports" and (parent.parent / "store").is_dir():
                yield Store(str(parent.parent / "store"))
    settings = _settings(settings_file, **({"models__pack": models} if models else {}))
    yield store_of(settings)
    if not models:
        yield store_of(_settings(settings_file, models__pack="demo"))


def _print_explanation(told: Explanation) -> None:
    out.print(told.image_id, style="bold", highlight=False)
    where = f"second {told.second_s:.3f} of " if told.second_s is not None else ""
    out.print(f"from {where}{told.source}", highlight=False, soft_wrap=True)
    if told.box_px:
        out.print(f"cut at x {told.box_px[0]}..{told.box_px[2]}, y {told.box_px[1]}..{told.box_px[3]} px")
    if told.made_with_demo_models:
        out.print("made with the demo models", style="yellow")
    table = Table("asset", "what it says", "by")
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


class _Progress:
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
def _progress(quiet: bool) -> Iterator[_Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    from dataset_pipeline.progress import LISTENER

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    if quiet:
        yield _Progress(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        show = _Progress(bar)
        token = LISTENER.set(show.inner)
        try:
            yield show
        finally:
            LISTENER.reset(token)
