"""`review`: the page on which a person says who is who and what goes into the set."""

from __future__ import annotations

import errno
import os
import socket
import webbrowser
from typing import Annotated

import typer

from dataset_pipeline.cli.common import ModelsOption, SettingsOption, settings_from, stop, store_to_write
from dataset_pipeline.cli.console import FOR_PATHS, err, out
from dataset_pipeline.cli.review_folders import export_folders, import_folders

PORT = 8377

review_app = typer.Typer(
    help="Correct characters, crops, tags and frames by hand, on a page in the browser.", invoke_without_command=True
)
review_app.command("export")(export_folders)
review_app.command("import")(import_folders)


@review_app.callback()
def review(
    context: typer.Context,
    models: ModelsOption = "",
    settings_file: SettingsOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page on 127.0.0.1; 0 takes any.")] = PORT,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")] = False,
) -> None:
    """Serve the page on this machine until Ctrl-C. What is said there counts at once and at the next run."""
    context.obj = (models, settings_file)
    if context.invoked_subcommand:
        return
    import uvicorn

    from dataset_pipeline.models import WeightsMissing
    from dataset_pipeline.models.injected import model_resources
    from dataset_pipeline.review.project import Project
    from dataset_pipeline.review.runs import command_of
    from dataset_pipeline.review.server import Page

    settings = settings_from(settings_file, models)
    store_to_write(settings)
    listening = _listening(port)
    err.print("reading what there is to review …", highlight=False)
    try:
        identity = model_resources(settings)["identity"]
        project = Project(settings, identity, command_of(models, settings_file))
    except WeightsMissing as error:
        stop(str(error))
    page = Page(project)
    address = page.address(listening.getsockname()[1])
    out.print(address, **FOR_PATHS)
    err.print("Only who has this address can open it. Ctrl-C ends it; nothing that was said is lost.", highlight=False)
    if not no_browser:
        webbrowser.open(address)
    options = {"log_level": "warning", "access_log": False, "lifespan": "off", "timeout_graceful_shutdown": 1}
    server = uvicorn.Server(uvicorn.Config(page.app(), **options))
    try:
        server.run(sockets=[listening])
    finally:
        project.run.stop()


def _listening(port: int) -> socket.socket:
    """A socket on this machine alone. Ends the command where the port is in use."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # where it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            stop(f"port {port} is in use, maybe by another page of this kind: give another one with --port, 0 for any")
        stop(f"port {port} cannot be used: {error.strerror or error}")
    return listening
