"""`doctor`: whether this machine and project have what a run needs."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.text import Text

from dataset_pipeline.cli.common import FAILED, JsonOption, ModelsOption, SettingsOption, settings_from
from dataset_pipeline.cli.console import out, table_of


def doctor(models: ModelsOption = "", settings_file: SettingsOption = None, as_json: JsonOption = False) -> None:
    """Check what a run needs: Python, the device models really run on, weights, disk, writable folders."""
    from dataset_pipeline.reports.doctor import examine

    settings = settings_from(settings_file, models)
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
