"""The assets of the graph: what each declares, and the function that makes it.

An asset declares the tables, settings sections and model roles it reads. The declaration makes its Dagster
dependencies, its code version and its required resources, and a body that reads anything else fails: lineage and
versions cannot drift from the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dataset_pipeline.graph.declaration import DECLARATIONS, Declaration, Kind
from dataset_pipeline.graph.measuring import EVERY_PICTURE_WAS_MEASURED
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import Settings


@dataclass(frozen=True)
class Check:
    """A statement that should hold of an asset, by its description. Where it does not, a blocking one stops what comes
    after, since going on would spoil data; any other warns."""

    description: str
    blocking: bool = False


# Of every asset that runs a model over pictures by `Step.measure`.
MEASURING = {EVERY_PICTURE_WAS_MEASURED: Check("The model gave an answer for each picture that it was to see.")}


@dataclass(frozen=True)
class PipelineAsset:
    """An asset before it belongs to a project: what it declares, and the function that makes it."""

    declaration: Declaration
    function: Callable[[Step], Result]
    group: str
    labels: frozenset[str]
    checks: Mapping[str, Check]
    shows: Callable[[Step], Mapping[str, Sequence[str]]] | None
    goes_first: bool = False

    @property
    def name(self) -> str:
        return self.declaration.name

    def under(self, settings: Settings) -> PipelineAsset:
        """The same with exactly what it reads under these settings."""
        return replace(self, declaration=self.declaration.under(settings))


ASSETS: dict[str, PipelineAsset] = {}

# As they lie from left to right in the web UI, which sorts them by who reads whom: no asset reads one of a later group.
GROUPS = (
    "source",
    "frames",
    "stills",
    "crops",
    "scores",
    "characters",
    "text",
    "set",
    "super_resolution",
    "regularization",
    "export",
    "status",
)


def pipeline_asset(
    *,
    kind: Kind,
    reads: Iterable[str],
    group: str,
    settings: Iterable[str] = (),
    models: Iterable[str] = (),
    algorithm: int = 1,
    remembers: bool = False,
    traced: bool = False,
    labels: Iterable[str] = (),
    checks: Mapping[str, Check] | None = None,
    shows: Callable[[Step], Mapping[str, Sequence[str]]] | None = None,
    reads_if: Mapping[str, Callable[[Settings], bool]] | None = None,
    settings_if: Mapping[str, Callable[[Settings], bool]] | None = None,
    models_if: Mapping[str, Callable[[Settings], bool]] | None = None,
    goes_first: bool = False,
    on_demand: bool = False,
    by_class: bool = False,
    generates: bool = False,
) -> Callable[[Callable[[Step], Result]], PipelineAsset]:
    """Make an asset of the graph out of a function from Step to Result.

    The function's docstring is what the web UI shows. Raise `algorithm` whenever the function's answer changes for
    equal inputs. An asset whose inputs and code version are those of its current table keeps that table, unless it
    exports; one that `remembers` gets the identity log, and of one that is `traced` the lineage is noted. `labels` are
    shown on it in the web UI, beside its kind. `shows` gives the stored pictures, by the label of their row, of which
    the web UI shows a sheet. `reads_if`, `settings_if`, `models_if`: which of `reads`, `settings` and `models` are read
    only under settings of which that is true. One that `goes_first` runs before others of its run that could run as
    well: it leaves behind what they take up. One made `on_demand` is left out of all runs that do not ask for it; one
    made `by_class` has the classes of regularization sets for partitions, and one that `generates` is given what makes
    pictures from text.
    Raises ValueError for a group that is none of GROUPS, and for a condition on what is not read.
    """
    if group not in GROUPS:
        raise ValueError(f"{group!r} is no group of assets; there are {', '.join(GROUPS)}")
    reads, settings, models = tuple(reads), tuple(settings), tuple(models)
    declared = (("reads", reads, reads_if), ("settings", settings, settings_if), ("models", models, models_if))
    for named, among, conditions in declared:
        if unread := set(conditions or ()) - set(among):
            raise ValueError(f"{named}_if names {', '.join(sorted(unread))}, which {named} does not")

    def wrap(function: Callable[[Step], Result]) -> PipelineAsset:
        declaration = Declaration(
            function.__name__,
            kind,
            reads,
            settings,
            models,
            algorithm,
            remembers,
            traced,
            tuple((reads_if or {}).items()),
            tuple((settings_if or {}).items()),
            tuple((models_if or {}).items()),
            on_demand,
            by_class,
            generates,
        )
        made = PipelineAsset(declaration, function, group, frozenset(labels), checks or {}, shows, goes_first)
        DECLARATIONS[made.name] = declaration
        ASSETS[made.name] = made
        return made

    return wrap
