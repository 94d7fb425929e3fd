"""Who is who."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from dataset_pipeline.assets.corrections import rows_of
from dataset_pipeline.assets.crops import has_details
from dataset_pipeline.base.ids import show_of
from dataset_pipeline.characters.appearances import CROP_COLUMNS, Appearances, appearances_of, tracked
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.by_hand import lost_characters
from dataset_pipeline.characters.gallery import Naming, decide_clusters, galleries_by_show
from dataset_pipeline.characters.names import named, names_by_id
from dataset_pipeline.characters.references import NOBODY, name_people, reference_set
from dataset_pipeline.characters.surroundings import SHOT_COLUMNS
from dataset_pipeline.characters.vectors import vectors_by_id
from dataset_pipeline.corrections.answers import whos_of
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.identity_log import event_of_row
from dataset_pipeline.store.schemas import SCHEMAS

CHARACTERS_SHOWN = 8
NAMED = "every_character_that_was_named_is_there"
BY_REFERENCES = ("tag_scores", "reference_embeddings")  # what people are named by


def may_track(settings: Settings) -> bool:
    return settings.tracks.mode != "off"


def has_tracks(step: Step) -> bool:
    return "tracks" in step.declaration.reads


def has_references(settings: Settings) -> bool:
    return bool(settings.references.found().pictures)


def has_read_references(step: Step) -> bool:
    return "reference_embeddings" in step.declaration.reads


def _names(step: Step, appearances: Appearances, episodes: Sequence[str] | None = None) -> Naming:
    """What references call appearances, of these episodes if the step is joined."""
    identity = step.model("identity")
    references = step.shared(
        "references", lambda: reference_set(step.read("reference_embeddings"), identity.fingerprint().sha256)
    )
    scores = step.read("tag_scores", episodes)
    named = name_people(appearances, scores, references, identity, step.settings.named_characters)
    names = ["" if number == NOBODY else references.names[number] for number in named.numbers]
    return Naming(names, named.differences.tolist())


@pipeline_asset(
    kind=Kind.JOIN,
    reads=["crops", "crop_embeddings", "tracks", *BY_REFERENCES, "matched_corrections"],
    reads_if={"tracks": may_track} | dict.fromkeys(BY_REFERENCES, has_references),
    settings=["character_gallery", "named_characters"],
    models=["identity"],
    group="characters",
    remembers=True,
    algorithm=4,
    labels=["onnx"],
    checks={
        "all_crops_speak_one_language": Check("Every embedding comes from the weights in use."),
        NAMED: Check("Every character that a person named or merged is there."),
    },
)
def character_gallery(step: Step) -> Result:
    """The characters of each show and the crops they are recognised by, over all episodes.

    `[character_gallery]` says how alike crops of one character are and how many it takes. Shows whose crops are those
    of last time keep their characters. Whoever is new gets an id, written into the identity log of the store; whoever
    was found before is found again by it, under other settings and with other episodes too. Where there are references,
    people bear the names that these show, and only the others are clustered. What a person said of crops and characters
    goes before all that, and teaches.
    """
    identity = step.model("identity")
    weights = identity.fingerprint().sha256
    before = step.previous()
    _log_previous(step, before)
    if step.last is None or step.last.provenance.code_version != step.code_version:
        before = []

    def join(show: str, episodes: list[str]) -> list[dict]:
        crops = step.read_columns("crops", CROP_COLUMNS, episodes).to_pylist()
        tracks = (step.read("tracks", [episode]) for episode in episodes) if has_tracks(step) else ()
        vectors = vectors_by_id(step.read("crop_embeddings", episodes), weights)
        appearances = appearances_of(crops, vectors, tracked(crops, tracks, weights))
        return build_gallery(
            show,
            appearances,
            identity.differences,
            identity.threshold,
            step.settings.character_gallery,
            step.identity_log,
            weights,
            [row for row in before if row["show"] == show],
            _names(step, appearances, episodes).names if has_read_references(step) else (),
            whos_of(rows_of(step, episodes)),
        )

    table, clustered = step.by_show(join)
    crops = Counter[bool]()
    for pointer in filter(None, (step.pointer("crop_embeddings", episode) for episode in step.episodes)):
        crops[pointer.provenance.models[0]["sha256"] == weights] += pointer.rows
    return Result(
        table,
        {
            "characters": table.num_rows,
            "crops": crops[True],
            "crops_in_characters": sum(table["crops"].to_pylist()),
            "shows_clustered": clustered,
        },
        {
            "all_crops_speak_one_language": f"{crops[False]} were embedded by other weights" if crops[False] else "",
            NAMED: _lost(step, table),
        },
    )


def _lost(step: Step, gallery: pa.Table) -> str:
    rows = gallery.select(["character", "merged"]).to_pylist()
    return "; ".join(lost_characters(whos_of(rows_of(step)), rows))


def _log_previous(step: Step, previous: Sequence[dict]) -> None:
    """Whoever is in the table of last time but not in the log goes into it: versions before the log wrote none, and a
    log that was lost is made again from what is there. Whoever a person had a say in is left out: the log is of those
    who were found without."""
    if step.last is None:
        return
    weights = step.last.provenance.models[0]["sha256"]
    rows = [row for row in previous if not row["corrected"]]
    logged = {show: step.identity_log.characters(show) for show in {row["show"] for row in rows}}
    step.identity_log.append(event_of_row(row, weights) for row in rows if row["character"] not in logged[row["show"]])


def crops_by_character(step: Step) -> dict[str, list[str]]:
    """The pictures of each character of the episode, and of nobody known."""
    paths = {row["image_id"]: row["path"] for row in step.rows("crops") if row["kept"]}
    names = names_by_id(step.read("character_gallery"))
    found: dict[str, list[str]] = {}
    for row in step.previous():
        if row["image_id"] in paths:
            label = " + ".join(named(row["characters"], names)) or "nobody known"
            found.setdefault(label, []).append(paths[row["image_id"]])
    ordered = sorted(found, key=lambda label: (label == "nobody known", -len(found[label]), label))
    return {f"{label} ({len(found[label])})": found[label] for label in ordered[:CHARACTERS_SHOWN]}


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=[
        "shots",
        "stills",
        "crops",
        "details",
        "crop_embeddings",
        "character_gallery",
        "tracks",
        *BY_REFERENCES,
        "matched_corrections",
    ],
    reads_if={"details": has_details, "tracks": may_track} | dict.fromkeys(BY_REFERENCES, has_references),
    settings=["clusters", "named_characters"],
    models=["identity"],
    group="characters",
    algorithm=4,
    labels=["onnx"],
    shows=crops_by_character,
)
def clusters(step: Step) -> Result:
    """Who is on each crop, detail and still, by the gallery; nobody where nobody is near enough.

    `[clusters] max_difference` decides what is near enough, for names of references `[named_characters]`. Who is cut
    off by a side of the picture is rather somebody who is well seen elsewhere in the shot.
    """
    assert step.episode is not None
    galleries = step.shared("galleries", lambda: galleries_by_show(step.read("character_gallery")))
    identity = step.model("identity")
    threshold = step.shared("threshold", lambda: step.settings.clusters.max_difference or identity.threshold)
    weights, found = identity.fingerprint().sha256, step.rows("crops")
    rows = decide_clusters(
        step.read("stills")["image_id"].to_pylist(),
        found,
        vectors_by_id(step.read("crop_embeddings"), weights),
        galleries.get(show_of(step.episode), ()),
        identity.differences,
        threshold,
        (lambda appearances: _names(step, appearances)) if has_read_references(step) else None,
        tracked(found, [step.read("tracks")] if has_tracks(step) else [], weights),
        whos_of(rows_of(step)),
        step.rows("details") if "details" in step.declaration.reads else (),
        step.read_columns("shots", SHOT_COLUMNS).to_pylist(),
    )
    crops = [row for row in rows if row["kind"] != "still"]
    return Result(
        SCHEMAS["clusters"].table(rows),
        {
            "crops_recognised": sum(bool(row["characters"]) for row in crops),
            "crops_unknown": sum(not row["characters"] for row in crops),
            "characters": len({name for row in rows for name in row["characters"]}),
        },
    )
