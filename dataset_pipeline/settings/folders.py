"""Where the package's own resources lie, and where a project's relative paths start."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def resources_folder() -> Path:
    """The resources/ folder: beside the package in a checkout, inside it in an installed wheel."""
    beside, inside = PACKAGE.parent / "resources", PACKAGE / "resources"
    return beside if (beside / "settings.toml").is_file() else inside


def project_folder() -> Path:
    """Where relative paths start: the working folder if it holds a workspace.yaml, else the checkout."""
    here = Path.cwd()
    return here if (here / "workspace.yaml").is_file() else PACKAGE.parent


DEFAULTS = resources_folder() / "settings.toml"
