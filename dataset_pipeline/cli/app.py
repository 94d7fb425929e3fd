"""The command line. It materializes the same assets in the same Dagster instance that the web UI shows."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.text import Text
from typer.core import TyperGroup

from dataset_pipeline.base.errors import PermanentError, full_disk
from dataset_pipeline.cli.printing import (
    FOR_PATHS,
    err,
    funnel_line,
    out,
    print_explanation,
    print_first_screen,
    print_open,
    print_readiness,
    print_report,
    print_rewritten,
    print_status,
    showing_progress,
    table_of,
)
from dataset_pipeline.settings import Settings, SettingsError, load_settings, project_folder
from dataset_pipeline.training.exporters import PROFILES

if TYPE_CHECKING:
    import dagster as dg

    from dataset_pipeline.models import ModelPack
    from dataset_pipeline.reports.explain import Explanation
    from dataset_pipeline.reports.run_report import Report
    from dataset_pipeline.store.store import Store
    from dataset_pipeline.training.exporters.rewrite import RewriteReport

ROLES = ("embedder", "detector", "identity", "quality", "tagger")
FAILED, PARTLY = 1, 3  # exit codes: it failed; not everything is done, or some inputs were damaged or failed
INTERRUPTED = 130  # what shells give a program that Ctrl-C ended


class Commands(TyperGroup):
    """The commands, any of which a person may stop."""

    def invoke(self, ctx: typer.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("stopped; what is finished is kept, run again to go on", style="yellow")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=Commands,
    help="Video episodes in, training datasets for image models out.",
    no_args_is_help=True,
    add_completion=False,
)
models_app = typer.Typer(
    help="The models' weights: what there is, fetching it once, checking it.", no_args_is_help=True
)
app.add_typer(models_app, name="models")

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
    except PermanentError as error:
        err.print(str(error), style="red", soft_wrap=True)
        sys.exit(FAILED)
    except Exception as error:
        if not (reason := full_disk(error, "standard output")):
            raise
        err.print(reason, style="red", soft_wrap=True)
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
    settings = _settings(settings_file, "demo", **own_models, **places)
    with showing_progress(as_json) as show:
        write_show(root / "episodes", progress=lambda done, total: show.inner("drawing three episodes", done, total))
    report = _run(settings, [root / "episodes"], as_json, home=root / ".dagster" if own else None)
    _finish(report, settings, as_json)


@app.command()
def run(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help=r"Videos, folders of pictures, or trees of shows; the roots of \[episodes] if not given.",
            resolve_path=True,
        ),
    ] = None,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn episodes into a training set. What has been done before is kept; files stay where they lie."""
    settings = _settings(settings_file, models)
    _finish(_run(settings, paths, as_json), settings, as_json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dev(context: typer.Context) -> None:
    """Open the web UI on the project's history, which outlives it. Takes the options of `dagster dev`, e.g. --port."""
    home = os.environ.get("DAGSTER_HOME") or str(project_folder())
    os.chdir(project_folder())
    # Without a home Dagster announces a temporary one, though dagster.yaml says where everything is kept.
    become([sys.executable, "-m", "dagster", "dev", *context.args], os.environ | {"DAGSTER_HOME": home})


@app.command()
def status(
    stale: Annotated[bool, typer.Option("--stale", help="Only what is not fresh, a line each.")] = False,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where every episode stands in every asset: fresh, stale and why, missing, running, failed.

    Exit code 0 if all is fresh and nothing damaged, unreadable or passed over, 1 if something failed, 3 otherwise.
    """
    import dataset_pipeline.definitions  # noqa: F401  (the graph is known once its modules are imported)
    from dataset_pipeline.graph.project import mixing_fault, store_of
    from dataset_pipeline.reports.status import status_of

    settings = _settings(settings_file, models)
    store = store_of(settings)
    if fault := mixing_fault(settings, store):
        _stop(fault)
    with _instance(None) as instance:
        found = status_of(settings, store, instance)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1))
    elif stale:
        print_open(found)
        for line in found.found_wrong():
            err.print(line, style="yellow", **FOR_PATHS)
    else:
        print_status(found)
    if not found.whole:
        raise typer.Exit(FAILED if found.worst == "failed" else PARTLY)


@app.command()
def explain(
    image: Annotated[str, typer.Argument(help="An image id, or the path of a picture that was exported.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Every row of every table, with settings, models and versions.")
    ] = False,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where an image comes from and what was decided about it, each value against its limit."""
    from dataset_pipeline.reports.explain import UnknownImage, image_of
    from dataset_pipeline.reports.explain import explain as gather
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
    elif everything:
        print_explanation(told)
    else:
        print_first_screen(told)


@app.command()
def find(
    question: Annotated[
        str, typer.Argument(help="Such as: 1girl and not 1boy and red_hair >= 0.5 and character:fern and quality > 0.4")
    ],
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the images whose tags, characters and quality answer a question: id and path, a line each."""
    from dataset_pipeline.graph.project import demo_hint, store_of
    from dataset_pipeline.reports.find import find as search
    from dataset_pipeline.settings.query import QueryError

    settings = _settings(settings_file, models)
    store = store_of(settings)
    try:
        matches = list(search(store, question, settings.tag_thresholds))
    except QueryError as error:
        _stop(str(error))
    if as_json:
        print(json.dumps([asdict(match) for match in matches], indent=1))
        return
    for match in matches:
        print(f"{match.image_id}\t{match.path}")
    if matches or store.episodes("tag_scores"):
        err.print(f"{len(matches)} images", highlight=False)
    else:
        err.print(f"there is nothing in {store.root} yet: `dataset-pipeline run` fills it", **FOR_PATHS)
        if hint := demo_hint(settings, store):
            err.print(hint, **FOR_PATHS)


@app.command()
def export(
    profile: Annotated[str, typer.Argument(help=f"The trainer: {', '.join(PROFILES)}.")] = "everydream",
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the current training set for a trainer, into a fresh folder."""
    from dataset_pipeline.assets.training import LEFT_ALONE
    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.graph.project import demo_hint, mixing_fault, store_of
    from dataset_pipeline.orchestration.runs import materialize_assets

    settings = _settings(settings_file, models, exported_set__profile=profile)
    store = store_of(settings)
    if fault := mixing_fault(settings, store):
        _stop(fault)
    if store.pointer("training_set") is None:
        nothing = f"there is no training set in {store.root} yet; `dataset-pipeline run` makes one"
        _stop("\n".join(filter(None, [nothing, demo_hint(settings, store)])))
    with _instance(None) as instance:
        failures = materialize_assets(build_definitions(settings), instance, settings, ["exported_set"])
    if failures:
        _stop(failures[0].error)
    rows, pointer = store.read("exported_set").to_pylist(), store.pointer("exported_set")
    if not rows or pointer is None:
        _stop("the training set is empty: nothing was exported")
    exported = rows[0] | {"folder": pointer.provenance.numbers["folder"]}
    if told := pointer.provenance.notes.get(LEFT_ALONE):
        err.print(told, style="yellow", **FOR_PATHS)
    if as_json:
        print(json.dumps(exported))
    else:
        out.print(f"{exported['pictures']} pictures in {exported['concepts']} concepts for {profile}:")
        out.print(exported["folder"], soft_wrap=True, highlight=False)


FolderArgument = Annotated[
    Path, typer.Argument(help="An exported set, wherever it was copied to.", exists=True, file_okay=False)
]
DropMissingOption = Annotated[
    bool, typer.Option("--drop-missing", help="Take images out of the set whose pictures somebody deleted.")
]


@app.command()
def recaption(
    folder: FolderArgument,
    template: Annotated[str, typer.Option("--template", help="booru, sentence or components.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help=r'A key of \[captions], e.g. --set keep_mark="|||". Repeatable.')
    ] = None,
    drop_missing: DropMissingOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the captions of an exported set again, from that folder alone. Captions edited by hand are kept.

    The settings are those it was made with, but for what is given. Exit code 3 if files were left as somebody changed
    them.
    """
    from dataset_pipeline.training.exporters import recaption as again

    values = dict(map(_key_and_value, changes or ()))
    if template:
        values["template"] = template
    _print_rewritten(lambda: again.recaption(folder, values, drop_missing), as_json)


@app.command()
def rebalance(
    folder: FolderArgument,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Lines `pattern,weight`, instead of those it was made with.")
    ] = None,
    min_multiply: Annotated[float | None, typer.Option("--min-multiply", help="Of the least likely image.")] = None,
    max_multiply: Annotated[
        float | None, typer.Option("--max-multiply", help="Above this no image is repeated.")
    ] = None,
    drop_missing: DropMissingOption = False,
    as_json: JsonOption = False,
) -> None:
    """Balance an exported set again, from that folder alone; where folder names hold repeats, folders are renamed.

    The settings are those it was made with, but for what is given. Exit code 3 if files were left as somebody changed
    them.
    """
    from dataset_pipeline.settings import read_weights
    from dataset_pipeline.training.exporters import recaption as again

    def balanced() -> RewriteReport:
        given = {
            "weights": None if weights is None else [weight.model_dump() for weight in read_weights(weights)],
            "min_multiply": min_multiply,
            "max_multiply": max_multiply,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        return again.rebalance(folder, changes, drop_missing)

    _print_rewritten(balanced, as_json)


@app.command()
def report(
    folder: Annotated[
        Path | None, typer.Option("--out", help="Where it goes; beside the exports if not given.", resolve_path=True)
    ] = None,
    resolution: Annotated[int, typer.Option(min=256, max=2048, help="What the set is to be trained at, px.")] = 1024,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what speaks against training on the set, a line each, and write readiness.html and readiness.json.

    Exit code 0 if nothing serious does, 3 otherwise.
    """
    from dataset_pipeline.graph.project import demo_hint, export_root, store_of
    from dataset_pipeline.reports.set_report import readiness_of, write_readiness

    settings = _settings(settings_file, models)
    store = store_of(settings)
    if store.pointer("training_set") is None:
        nothing = f"there is no training set in {store.root} yet; `dataset-pipeline run` makes one"
        _stop("\n".join(filter(None, [nothing, demo_hint(settings, store)])))
    found = readiness_of(store, settings, resolution)
    try:
        written = write_readiness(found, folder or export_root(settings))
    except OSError as error:
        _stop(f"{error.filename}: {error.strerror}: name another folder with --out")
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_readiness(found, written)
    if found["worst"] == "serious":
        raise typer.Exit(PARTLY)


@app.command()
def clean(
    grace_h: Annotated[
        float, typer.Option(min=0.0, help="Younger files stay, in hours: more than the longest run takes.")
    ] = 48.0,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove tables and pictures that nothing current refers to any more, and what killed runs left half written."""
    from dataset_pipeline.graph.project import store_of

    store = store_of(_settings(settings_file, models))
    cleaned = store.clean(grace_h * 3600)
    if as_json:
        print(json.dumps(asdict(cleaned)))
    else:
        out.print(
            f"removed {cleaned.tables} tables, {cleaned.pictures} pictures and {cleaned.temporary} unfinished files "
            f"from {store.root}: {cleaned.size_bytes / 1e6:.1f} MB",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        for reason in cleaned.unreadable:
            told = f"all that this damaged table may refer to was kept: {reason}"
            err.print(told, style="yellow", highlight=False, soft_wrap=True)
    if cleaned.unreadable:
        raise typer.Exit(PARTLY)


@app.command()
def prune(
    episodes: Annotated[
        list[str] | None, typer.Argument(help="Episodes as `status` names them; those whose source is gone if none.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. With --json nothing is done without it.")] = False,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take episodes out for good, and make the set again without them. Sources stay where they are."""
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.graph.project import mixing_fault, store_of
    from dataset_pipeline.orchestration.prune import gone_episodes
    from dataset_pipeline.orchestration.prune import prune as take_out
    from dataset_pipeline.orchestration.runs import Outcome, materialize_all
    from dataset_pipeline.reports.run_report import account

    settings = _settings(settings_file, models)
    store = store_of(settings)
    if fault := mixing_fault(settings, store):
        _stop(fault)
    with _instance(None) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = episodes or gone_episodes(settings, store, instance)
        if not yes and as_json:
            print(json.dumps({"would_remove": chosen}))
            return
        if not chosen:
            out.print("every source is where it was: there is nothing to take out")
            return
        if not yes:
            for episode in chosen:
                out.print(episode, highlight=False)
            typer.confirm(f"Take these {len(chosen)} out?", abort=True)
        pruned = take_out(instance, store, settings, chosen)
        outcome = Outcome()
        if pruned.removed:
            with showing_progress(as_json) as show:
                outcome = materialize_all(
                    build_definitions(settings), instance, settings, [], show.outer, leave_out=["exported_set"]
                )
        funnel = account(store, outcome.registered)
    if as_json:
        failures = [asdict(failure) for failure in outcome.failures]
        print(json.dumps(asdict(pruned) | {"failures": failures, "funnel": funnel}, indent=1))
    else:
        for reason in pruned.refused.values():
            err.print(reason, style="yellow", highlight=False, soft_wrap=True)
        for failure in outcome.failures:
            err.print(f"{failure.asset} failed: {failure.error}", style="red", highlight=False, soft_wrap=True)
        if pruned.removed:
            out.print(f"took out {', '.join(pruned.removed)}", highlight=False, soft_wrap=True)
            out.print(funnel_line(funnel), highlight=False, soft_wrap=True)
    if pruned.refused or outcome.failures:
        raise typer.Exit(PARTLY)


@app.command()
def doctor(models: ModelsOption = "", settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Check what a run needs: Python, the device models really run on, weights, disk, writable folders."""
    from dataset_pipeline.reports.doctor import examine

    settings = _settings(settings_file, models)
    findings = examine(settings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        table = table_of("state", "what", "detail", box=None, show_header=False)
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
    table = table_of("role", "model", "used", "here", "licence", "for")
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
    from dataset_pipeline.models.hub import PullProgress, pull

    def say(progress: PullProgress) -> None:
        size = f", {progress.size_bytes / 1e6:.1f} MB" if progress.size_bytes else " …"
        out.print(f"{progress.number}/{progress.total} {progress.file}{size}", highlight=False)

    files = pull(_pack(models, settings_file), update=update, progress=say)
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


def _settings(overlay: Path | None, models: str = "", **changes: Any) -> Settings:
    """models: the pack, if one was given."""
    if models:
        changes["models__pack"] = models
    try:
        return load_settings(overlay, **changes)
    except SettingsError as error:
        _stop(str(error))


def _key_and_value(text: str) -> tuple[str, Any]:
    """`key=value` as TOML has it; a value that is none is taken for a string."""
    import tomllib

    key, separator, value = text.partition("=")
    if not separator:
        _stop(f"--set {text}: write --set key=value")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _print_rewritten(make: Callable[[], RewriteReport], as_json: bool) -> None:
    from dataset_pipeline.training.exporters import ExportError

    try:
        made = make()
    except ExportError as error:
        _stop(str(error))
    except OSError as error:
        _stop(f"{error.filename or 'a file'}: {error.strerror or error}: set that right and run the same again")
    if as_json:
        told = asdict(made) | {"folder": str(made.folder)}
        print(json.dumps(told | {name: sorted(told[name]) for name in ("captions", "multiplies")}, indent=1))
    else:
        print_rewritten(made)
    if made.left:
        raise typer.Exit(PARTLY)


def become(command: list[str], environment: dict[str, str]) -> None:
    """Go on as another program, to which signals and Ctrl-C go; on Windows, which cannot do that, wait for its end."""
    if os.name != "nt":
        os.execve(command[0], command, environment)
    import subprocess

    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                raise typer.Exit(process.wait())
            except KeyboardInterrupt:  # the program was told as well and ends by itself
                continue


def _stop(message: str) -> NoReturn:
    err.print(message, style="red", highlight=False, soft_wrap=True)
    raise typer.Exit(FAILED)


def _pack(models: str, settings_file: Path | None) -> ModelPack:
    from dataset_pipeline.models import ModelPack

    chosen = _settings(settings_file, models).models
    named = {role: getattr(chosen, role) for role in ROLES}
    return ModelPack.open(chosen.pack, chosen.cache, {role: name for role, name in named.items() if name})


@contextmanager
def _instance(home: Path | None) -> Iterator[dg.DagsterInstance]:
    """The instance of the web UI: DAGSTER_HOME if set, else the project's dagster.yaml; or one that lies in `home`."""
    import dagster as dg
    from filelock import FileLock

    chosen = os.environ.get("DAGSTER_HOME")
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    elif chosen and not Path(chosen).is_dir():
        _stop(f"{chosen}, which DAGSTER_HOME names, is not a folder; make it, or unset DAGSTER_HOME")
    elif not chosen:
        os.chdir(project_folder())  # dagster.yaml names its folders relative to the project
    # Dagster makes its tables when it is opened first, which two commands must not do at once.
    folder = home or Path(chosen or ".")
    history = folder.absolute() / ".dagster"
    try:
        with FileLock(folder / ".dagster" / "opening.lock"):
            opened = dg.DagsterInstance.from_config(str(folder))
    except OSError as error:
        _stop(f"Dagster's history in {history} cannot be written: {error.strerror or error}")
    except Exception as error:
        if not (reason := full_disk(error, history)):
            raise
        _stop(f"Dagster's history cannot be written: {reason}")
    from dataset_pipeline.orchestration.unfinished import fail_dead_runs

    with opened as instance:
        try:
            fail_dead_runs(instance)
            yield instance
        except Exception as error:
            if not (reason := full_disk(error, history)):
                raise
            _stop(reason)


def _run(settings: Settings, paths: list[Path] | None, as_json: bool, home: Path | None = None) -> Report:
    import warnings

    from dataset_pipeline.definitions import build_definitions
    from dataset_pipeline.graph.project import mixing_fault, store_of
    from dataset_pipeline.models.device import onnx_device, torch_device
    from dataset_pipeline.models.injected import missing_weights, model_resources
    from dataset_pipeline.models.loading import CALLS, reset_calls
    from dataset_pipeline.orchestration.arrivals import roots_of
    from dataset_pipeline.orchestration.registration import carry_over, owner_in, register
    from dataset_pipeline.orchestration.runs import materialize_all
    from dataset_pipeline.reports.run_report import report_on
    from dataset_pipeline.sources.finding import find_sources
    from dataset_pipeline.sources.passed_over import remember_passed_over, summaries_by_root

    store, places = store_of(settings), paths or roots_of(settings)
    try:
        if missing := missing_weights(model_resources(settings)):
            _stop("\n".join(missing))
        found = find_sources(places, owner_in(store), folders_of_shows=not paths)
        if settings.models.device.startswith("cuda"):
            torch_device(settings.models.device)
            onnx_device(settings.models.device)
    except OSError as error:
        _stop(str(error))
    rejected: dict[str, str] = {}
    for entry in found.rejected:
        rejected[str(entry.path)] = "; ".join(filter(None, [rejected.get(str(entry.path)), entry.reason]))
    passed_over = summaries_by_root(found.passed_over, places)
    if fault := mixing_fault(settings, store):
        _stop(fault)
    for place in places:
        remember_passed_over(store, Path(os.path.abspath(place)), found.left_in(place))
    if not found.sources:
        for sentence in [*(f"{path}: {reason}" for path, reason in rejected.items()), *passed_over]:
            err.print(sentence, style="red", **FOR_PATHS)
        _stop(f"no episodes in {', '.join(map(str, places))}")
    reset_calls()
    with _instance(home) as instance, warnings.catch_warnings(), showing_progress(as_json) as show:
        warnings.simplefilter("ignore")
        trees = [Path(os.path.abspath(place)) for place in [*places, *roots_of(settings)]]
        carried = carry_over(instance, store, settings, found.sources, trees)
        register(instance, store, settings, carried.sources)
        outcome = materialize_all(
            build_definitions(settings), instance, settings, [source.key for source in carried.sources], show.outer
        )
    return report_on(store, outcome, rejected, dict(CALLS), carried.notes, passed_over)


def _finish(report: Report, settings: Settings, as_json: bool) -> None:
    from dataset_pipeline.graph.project import export_root, store_of
    from dataset_pipeline.reports.run_report import write_character_sheet

    sheet = export_root(settings) / "characters.jpg"
    names: list[str] = []
    try:
        names = write_character_sheet(store_of(settings), sheet)
    except (OSError, ValueError, PermanentError) as error:
        report.unwritten.append(f"{sheet} could not be written: {full_disk(error) or error}")
    if as_json:
        print(json.dumps(report.as_dict() | {"character_sheet": str(sheet)}, indent=1))
    else:
        print_report(report, sheet, len(names))
    if not report.export_folder or report.unwritten:
        raise typer.Exit(FAILED)
    if not report.whole:
        raise typer.Exit(PARTLY)


def _stores_that_may_know(image: str, models: str, settings_file: Path | None) -> Iterator[Store]:
    from dataset_pipeline.graph.project import store_of
    from dataset_pipeline.store.store import Store

    path = Path(image)
    if path.is_file():
        for parent in path.resolve().parents:
            if parent.name == "exports" and (parent.parent / "store").is_dir():
                yield Store(str(parent.parent / "store"))
    settings = _settings(settings_file, models)
    yield store_of(settings)
    if not models:
        yield store_of(_settings(settings_file, "demo"))
