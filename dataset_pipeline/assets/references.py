"""The pictures by which a person says who is who."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from dataset_pipeline.base.progress import track
from dataset_pipeline.characters.reference_views import reference_views
from dataset_pipeline.characters.tracks import KINDS
from dataset_pipeline.graph.catalog import Check, pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.step import Step
from dataset_pipeline.images.detections import as_found_boxes
from dataset_pipeline.images.pictures import open_picture
from dataset_pipeline.settings.tag_rules import CHARACTER_KINDS, load_rules
from dataset_pipeline.store.left_out import answered, first_reasons, reason_of
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.tags.scores import scored_tags

MAX_PIXELS = 50_000_000  # of one picture; eight are held at a time
AT_ONCE = 8
MEASURED = "reference_pictures"
MEASURING = 2  # the version of what models are asked, apart from that of the asset
READ = "every_reference_was_read"


@pipeline_asset(
    kind=Kind.JOIN,
    reads=[],
    settings=["references", "crops", "tag_scores", "tag_rules"],
    models=["detector", "identity", "tagger"],
    group="characters",
    algorithm=3,
    labels=["onnx"],
    checks={READ: Check("Every picture among the references shows somebody whose name can be used.")},
)
def reference_embeddings(step: Step) -> Result:
    """Who a person says is who: the CCIP vectors and tags of the pictures in `[references] root`.

    Of each picture the largest person and their head are looked at, the whole picture if nobody is found. What models
    said of a file is kept by its content, so that a new picture costs its own calls alone. A file that could not
    be read or measured has a row with the reason.
    """
    found = step.settings.references.found()
    by_content = {it.sha256: it.path for it in found.pictures}
    left_out: dict[str, str] = {}
    weights = {role: fingerprint.sha256 for role, fingerprint in step.fingerprints.items()}
    table, reuse = step.measure_once(
        [{"image_id": sha256, "pixel_sha256": sha256} for sha256 in by_content],
        hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest(),
        _algorithm(step),
        lambda absent: _payloads(step, [(sha256, by_content[sha256]) for sha256 in absent], left_out),
        table=MEASURED,
    )
    measured = {row["image_id"]: row for row in table.to_pylist()}
    traits = _traits(step) if measured else lambda tags: []
    said = {it: {"views": row["views"], "traits": traits(row["tags"]), "reason": ""} for it, row in measured.items()}
    said |= {it: {"views": [], "traits": [], "reason": reason} for it, reason in left_out.items()}
    rows = [
        {"file": it.file, "name": it.name, "outfit": it.outfit, "sha256": it.sha256}
        | {"model_sha256": weights["identity"]}
        | said[it.sha256]
        for it in found.pictures
    ]
    unread = {row["file"]: row["reason"] for row in rows if row["reason"]}
    table = SCHEMAS["reference_embeddings"].table(rows)
    rows = [row for row in rows if not row["reason"]]
    return Result(
        table,
        {
            "names": len({row["name"] for row in rows} - {""}),
            "pictures": len(rows),
            "pictures_that_reject": sum(not row["name"] for row in rows),
            "measured": reuse.measured,
            "reused": reuse.reused,
        },
        {READ: first_reasons({**found.passed_over, **unread})},
    )


def _traits(step: Step) -> Callable[[list[dict]], list[dict]]:
    """Of a picture's scored tags, how probable each trait is that the tagger knows; 0 below the floor."""
    rules = load_rules(step.settings.tag_rules)
    known = sorted(tag for tag in set(step.model("tagger").vocabulary()[0]) if rules.kind_of(tag) in CHARACTER_KINDS)

    def traits(tags: list[dict]) -> list[dict]:
        scores = {it["tag"]: it["score"] for it in tags}
        return [{"tag": tag, "score": scores.get(tag, 0.0)} for tag in known]

    return traits


def _algorithm(step: Step) -> str:
    """What else than weights and content decides what models say: where views are cut, which tags are kept."""
    settings = step.settings
    cutting = [(settings.crops.min_score(kind), settings.crops.scale(kind)) for kind in KINDS]
    told = json.dumps([cutting, settings.tag_scores.score_floor])
    return f"{MEASURING}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def _payloads(step: Step, files: list[tuple[str, Path]], left_out: dict[str, str]) -> Iterator[dict | None]:
    """What models say of each file, None with its reason in `left_out` where there is nothing to say."""

    def read(path: str) -> np.ndarray:
        return open_picture(Path(path), max_pixels=MAX_PIXELS)

    def all_of() -> Iterator[dict | None]:
        for start in range(0, len(files), AT_ONCE):
            some = files[start : start + AT_ONCE]
            paths = [str(path) for _, path in some]
            answers = answered(paths, read, lambda asked: map(read, asked), lambda some: _said_of(step, some))
            for (sha256, _), answer in zip(some, answers, strict=True):
                if isinstance(answer, Exception):
                    left_out[sha256] = reason_of(answer)
                yield None if isinstance(answer, Exception) else answer

    yield from track(all_of(), step.declaration.name, len(files))


def _said_of(step: Step, pictures: Iterable[np.ndarray]) -> list[dict]:
    """Views and tags of a few pictures, each model asked once."""
    held = list(pictures)
    crops, floor = step.settings.crops, step.settings.tag_scores.score_floor
    boxes = as_found_boxes(step.model("detector").detect(iter(held), KINDS))
    views = [reference_views(picture, found["boxes"], crops) for picture, found in zip(held, boxes, strict=True)]
    vectors = iter(step.model("identity").embed(pixels for of_one in views for _, pixels in of_one))
    tagged = step.model("tagger").tag(of_one[0][1] for of_one in views)
    tags = scored_tags(tagged.tags, tagged.categories, tagged.scores, floor)
    return [
        {"views": [{"kind": kind, "embedding": next(vectors)} for kind, _ in of_one], "tags": said}
        for of_one, said in zip(views, tags, strict=True)
    ]
