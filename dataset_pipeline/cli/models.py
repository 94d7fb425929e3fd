"""`models`: the weights, what there is of them, fetching them once, checking them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataset_pipeline.cli.common import FAILED, JsonOption, ModelsOption, SettingsOption, settings_from, stop
from dataset_pipeline.cli.console import err, out, table_of

if TYPE_CHECKING:
    from dataset_pipeline.models import ModelPack

models_app = typer.Typer(
    help="The models' weights: what there is, fetching it once, checking it.", no_args_is_help=True
)


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
    from dataset_pipeline.models.injected import model_resources
    from dataset_pipeline.models.registry import ROLES

    def say(progress: PullProgress) -> None:
        size = f", {progress.size_bytes / 1e6:.1f} MB" if progress.size_bytes else " …"
        out.print(f"{progress.number}/{progress.total} {progress.file}{size}", highlight=False)

    pack = _pack(models, settings_file)
    if not pack.pullable:
        out.print(f"the pack {pack.name!r} is shipped with the project: there is nothing to pull", highlight=False)
        return
    used = model_resources(settings_from(settings_file, models))
    files = pull(pack, [it for it in ROLES if it in used], update=update, progress=say)
    out.print(f"{len(files)} files are here")


@models_app.command("verify")
def models_verify(models: ModelsOption = "", settings_file: SettingsOption = None) -> None:
    """Compare every weight file with the sha256 that was written down when it was fetched."""
    from dataset_pipeline.models.hub import verify

    try:
        checks = verify(_pack(models, settings_file))
    except FileNotFoundError as error:
        stop(f"{error}; `dataset-pipeline models pull` fetches the weights")
    wrong = [check for check in checks if check.problem]
    for check in wrong:
        err.print(f"{check.path}: {check.problem}", style="red", soft_wrap=True)
    out.print(f"{len(checks) - len(wrong)} of {len(checks)} files are as recorded")
    if wrong:
        raise typer.Exit(FAILED)


def _pack(models: str, settings_file: Path | None) -> ModelPack:
    from dataset_pipeline.models import ModelPack
    from dataset_pipeline.models.registry import ROLES

    chosen = settings_from(settings_file, models).models
    named = {role: getattr(chosen, role) for role in ROLES}
    return ModelPack.open(chosen.pack, chosen.cache, {role: name for role, name in named.items() if name})
