"""What a vision model says of each image; each is asked about once, those without an answer again the next time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from dataset_pipeline.graph.catalog import pipeline_asset
from dataset_pipeline.graph.declaration import Kind
from dataset_pipeline.graph.result import Result
from dataset_pipeline.graph.staleness import UNANSWERED
from dataset_pipeline.graph.step import Step
from dataset_pipeline.models.captioner import Captioner, Description
from dataset_pipeline.settings import Settings
from dataset_pipeline.store.schemas import SCHEMAS

ALGORITHM = "1"
SAVED_TOGETHER = 64  # what a killed run may lose


def some_are_left_out(settings: Settings) -> bool:
    """Whether images are described, and the set goes without some of the selected ones."""
    quotas = settings.concept_balance
    at_most = (quotas.max_images, quotas.max_images_per_concept, quotas.max_images_per_character)
    return settings.descriptions.enabled and (settings.selection.cuts or any(at_most))


@pipeline_asset(
    kind=Kind.PROJECTION,
    reads=["selection", "multiplies"],
    reads_if={"multiplies": some_are_left_out},
    settings=["descriptions"],
    group="set",
    labels=["python"],
)
def descriptions(step: Step) -> Result:
    """Each selected image in the words of a vision model, if `[descriptions] enabled`; each is asked about once, and
    none that a cut or a quota leaves out of the set.

    An image without an answer keeps the reason and is asked about again the next time.
    """
    settings = step.settings.descriptions
    if not settings.enabled:
        return Result(SCHEMAS["descriptions"].empty(), {"described": 0})
    selected = [row for row in step.rows("selection") if row["selected"]]
    if "multiplies" in step.declaration.reads:
        in_set = set(step.read("multiplies")["image_id"].to_pylist())
        selected = [row for row in selected if row["image_id"] in in_set]
    captioner = Captioner(settings)
    rows, asked = describe_missing(
        step,
        selected,
        captioner.fingerprint(),
        lambda wanted: captioner.describe(step.readable(row["path"] for row in wanted)),
    )
    unanswered = [row for row in rows if not row["text"]]
    for row in unanswered[:1]:
        step.log.warning(f"{len(unanswered)} images were not described; {row['image_id']}: {row['status']}")
    return Result(
        SCHEMAS["descriptions"].table(rows),
        {"described": len(rows) - len(unanswered), "asked": asked, UNANSWERED: len(unanswered)},
    )


def describe_missing(
    step: Step,
    wanted: Sequence[Mapping[str, Any]],
    sha256: str,
    describe: Callable[[Sequence[Mapping[str, Any]]], Iterable[Description]],
) -> tuple[list[dict], int]:
    """Rows of `descriptions` for the wanted images (rows with image_id and pixel_sha256), and about how many was asked.

    sha256: of model and prompt. `describe` takes the images without an answer and gives one for each, in order. Those
    with a text are kept for good, by picture and prompt; others are not.
    """
    there = step.measured_keys()
    absent = [row for row in wanted if (row["image_id"], row["pixel_sha256"], sha256, ALGORITHM) not in there]
    failed: dict[str, str] = {}
    answers = zip(absent, describe(absent), strict=True) if absent else iter(())
    for together in _batches(answers):
        failed |= {row["image_id"]: answer.status for row, answer in together if not answer.text}
        told = {row["image_id"]: answer for row, answer in together if answer.text}
        _kept(step, [row for row, answer in together if answer.text], sha256, told)
    rows = _kept(step, [row for row in wanted if row["image_id"] not in failed], sha256, {}).to_pylist()
    for row in wanted:
        if status := failed.get(row["image_id"]):
            measured = {"pixel_sha256": row["pixel_sha256"], "model_sha256": sha256, "algorithm": ALGORITHM}
            rows.append({"image_id": row["image_id"], **measured, "text": "", "status": status})
    return rows, len(absent)


def _kept(step: Step, images: Sequence[Mapping[str, Any]], sha256: str, told: Mapping[str, Description]) -> pa.Table:
    """The rows of these images, of which `told` brings those that are not in the store yet."""

    def payloads(image_ids: list[str]) -> Iterator[dict[str, str]]:
        return ({"text": told[image_id].text, "status": told[image_id].status} for image_id in image_ids)

    return step.measure_once(images, sha256, ALGORITHM, payloads)[0]


def _batches(
    items: Iterable[tuple[Mapping[str, Any], Description]],
) -> Iterator[list[tuple[Mapping[str, Any], Description]]]:
    items = iter(items)
    while together := list(islice(items, SAVED_TOGETHER)):
        yield together
