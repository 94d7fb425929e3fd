"""What the report of a run, `status` and the checks of the web UI say of odd inputs: all three the same, or nothing."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import av
import dagster as dg
import numpy as np
import pytest
import typer
from PIL import Image

import dataset_pipeline.definitions  # noqa: F401  makes the assets known
from dataset_pipeline.cli.common import PARTLY
from dataset_pipeline.cli.run import finish
from dataset_pipeline.graph.catalog import ASSETS
from dataset_pipeline.graph.framework import _check_results
from dataset_pipeline.graph.materializing import materialize
from dataset_pipeline.graph.step import Step
from dataset_pipeline.orchestration.registration import register
from dataset_pipeline.orchestration.runs import Outcome
from dataset_pipeline.reports.run_report import Report, faults_of, notices_of, report_on
from dataset_pipeline.reports.status.asset import _check
from dataset_pipeline.reports.status.judging import status_of
from dataset_pipeline.reports.status.states import Status
from dataset_pipeline.settings import load_settings, resources_folder
from dataset_pipeline.sources.finding import find_sources
from dataset_pipeline.sources.passed_over import remember_passed_over, summaries_by_root
from dataset_pipeline.store.provenance import Provenance
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.store.store import Store

SETTINGS = load_settings(resources_folder() / "settings.toml", models__pack="demo", models__device="cpu")
MEASURED = ("video_probe", "shots", "keyframes", "hand_edited_tags")
WEIGHTS: dict[str, str] = dict.fromkeys(
    ("embedder", "detector", "identity", "quality", "tagger", "text_detector", "captioner"), "0" * 64
)


@cache
def clip() -> bytes:
    """Two seconds of moving colour."""
    sheet = np.random.default_rng(3).integers(30, 225, (6, 40, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(16):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(sheet[:, 8 * number :][:, :64]))))
        out.mux(stream.encode(None))
    return target.getvalue()


def saved(form: str = "PNG", frames: int = 1, **options: object) -> bytes:
    small = np.random.default_rng(4).integers(0, 256, (frames, 6, 8, 3), dtype=np.uint8)
    first, *others = [Image.fromarray(one).resize((64, 48), Image.Resampling.BICUBIC) for one in small]
    target = io.BytesIO()
    if others:
        options |= {"save_all": True, "append_images": others}
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()
    first.save(target, format=form, **options)  # type: ignore[arg-type]
    return target.getvalue()


def holding(*files: tuple[str, bytes | Callable[[], bytes]]) -> Callable[[Path], None]:
    """Writes files below the folder of shows."""

    def make(root: Path) -> None:
        for name, content in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content() if callable(content) else content)

    return make


def art(*files: tuple[str, bytes | Callable[[], bytes]]) -> Callable[[Path], None]:
    """A folder of pictures with a good one and these."""
    return holding(("Art/good.png", saved), *((f"Art/{name}", content) for name, content in files))


def show(*files: tuple[str, bytes | Callable[[], bytes]]) -> Callable[[Path], None]:
    """A folder with a good video and these."""
    return holding(("Show/01.mkv", clip), *((f"Show/{name}", content) for name, content in files))


def with_link(root: Path) -> None:
    show()(root)
    (root / "Show" / "02.mkv").symlink_to(root / "nothing.mkv")


def with_odd_entries(root: Path) -> None:
    art()(root)
    os.mkfifo(root / "Art" / "pipe.png")
    Path(os.fsdecode(os.fsencode(root) + b"/Art/\xff.png")).write_bytes(saved())


# What is made, and of each reason a part; nothing is to be said where there is none.
INPUTS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "good pictures": (art(("b.jpg", lambda: saved("JPEG"))), ()),
    "pictures of phones": (art(("a.heic", lambda: saved("HEIF")), ("b.jxl", lambda: saved("JXL"))), ()),
    "a TGA and a whole animation": (art(("c.tga", lambda: saved("TGA")), ("d.gif", lambda: saved("GIF", 3))), ()),
    "what belongs beside pictures": (art(("good.txt", b"hat"), ("readme.md", b"x"), ("Thumbs.db", b"x")), ()),
    "captions": (art(("good.CAPTION", b"1girl, hat")), ()),
    "UTF-16 captions": (art(("good.txt", "1girl, hat".encode("utf-16-le"))), ()),
    "names in two forms": (art(("\u00e9.png", saved), ("e\u0301.png", saved)), ()),
    "a good video with its documents": (show(("01.ass", b"x"), ("01.nfo", b"x"), ("ost.flac", b"x")), ()),
    "Shift-JIS captions": (art(("good.txt", "緑の髪".encode("shift-jis"))), ("good.txt cannot be read as tags",)),
    "cp1252 captions": (art(("good.TXT", "1girl, café".encode("cp1252"))), ("good.TXT cannot be read as tags",)),
    "half a picture": (art(("b.png", lambda: saved()[:900])), ("b.png: cannot be decoded",)),
    "no bytes": (art(("b.jpg", b"")), ("b.jpg: the file is empty",)),
    "an animation cut off": (art(("b.gif", lambda: saved("GIF", 5)[:-900])), ("b.gif: after ",)),
    "a video called GIF": (art(("b.gif", b"\0\0\0\x18ftypisom\0\0\2\0")), ("it looks like a video",)),
    "kinds that are not read": (art(("b.psd", b"x"), ("c.nef", b"x")), ("b.psd, c.nef: a kind of picture",)),
    "an archive": (art(("b.cbz", b"x")), ("b.cbz: an archive",)),
    "a file of no kind": (art(("b.bin", b"x")), ("b.bin: neither a video nor a picture",)),
    "half loaded": (art(("b.png.part", b"x")), ("b.png.part: a download that is not finished",)),
    "covers": (show(("cover.jpg", saved), ("back.png", saved)), ("Show/back.png, Show/cover.jpg: a picture beside",)),
    "a dead link": (with_link, ("Show/02.mkv: a link to nothing",)),
    "text called a video": (show(("02.mkv", b"a shopping list\n" * 9)), ("it is text",)),
    "half a video": (show(("02.mkv", lambda: clip()[: len(clip()) * 6 // 10])), ("the file is cut off",)),
    "a loose picture": (art(("../a.png", saved)), ("a.png: a picture among the folders",)),
    "an empty folder": (holding(("Show/01.mkv", clip), ("Empty/.hidden", b"")), ("Empty: is empty",)),
    "a pipe and a name": (with_odd_entries, ("pipe.png: a pipe", "?.png: a name that is not valid UTF-8")),
}


@dataclass
class CaptionSources:
    report: Report
    status: Status
    checks: list[str]


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def looked_at(root: Path, store: Store, instance: dg.DagsterInstance) -> CaptionSources:
    """The sources below `root` taken through what reads them, and what is said of them."""
    found = find_sources([root], folders_of_shows=True)
    remember_passed_over(store, root, found.left_in(root))
    register(instance, store, SETTINGS, found.sources)
    keys = [source.key for source in found.sources]
    resources, checks = SimpleNamespace(store=store, settings=SETTINGS), []
    log = SimpleNamespace(warning=lambda message: None)
    for key in keys:
        for asset in MEASURED:
            pointer, _ = materialize(ASSETS[asset], Step(ASSETS[asset].declaration, resources, key, log, keys))
            checks += [
                check.description or "" for check in _check_results(ASSETS[asset], {"": pointer}) if not check.passed
            ]
    rejected = {str(item.path): item.reason for item in found.rejected}
    report = report_on(store, Outcome(keys, keys), rejected, {}, (), summaries_by_root(found.passed_over, [root]))
    status = status_of(SETTINGS, store, instance, WEIGHTS)
    page = _check(status)
    for key in keys:
        instance.delete_dynamic_partition("episodes_demo", key)
    return CaptionSources(report, status, checks + ([] if page.passed else [page.description or ""]))


def exit_code(report: Report, monkeypatch: pytest.MonkeyPatch) -> int:
    """Of `run`, were its set exported."""
    monkeypatch.setattr("dataset_pipeline.reports.run_report.write_character_sheet", lambda store, sheet: [])
    try:
        finish(replace(report, export_folder="somewhere"), SETTINGS, as_json=True)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


@pytest.mark.skipif(os.name != "posix", reason="pipes, links, and names of any bytes")
@pytest.mark.parametrize(("make", "reasons"), INPUTS.values(), ids=INPUTS.keys())
def test_report_status_and_checks_say_the_same_of_each_kind_of_input(make, reasons, tmp_path, instance, monkeypatch):
    root = tmp_path / "episodes"
    root.mkdir()
    make(root)
    said = looked_at(root, Store(str(tmp_path / "store")), instance)
    report = said.report
    everything = {
        "report": [
            *(reason for found in (report.damaged, report.faults) for entries in found.values() for reason in entries),
            *(f"{path}: {reason}" for path, reason in report.rejected.items()),
            *report.passed_over,
        ],
        "status": [*(fault for faults in said.status.faults.values() for fault in faults), *said.status.passed_over],
        "checks": said.checks,
    }
    for where, told in everything.items():
        assert bool(told) == bool(reasons), (where, told)
        for reason in reasons:
            assert any(reason in sentence for sentence in told), (where, reason, told)
    assert report.whole == (not reasons)
    assert exit_code(report, monkeypatch) == (PARTLY if reasons else 0)
    assert replace(said.status, cells={}).whole == (not reasons)


def test_an_animation_among_pictures_is_named_with_what_to_do_and_is_no_fault(tmp_path, instance):
    art(
        ("d.gif", lambda: saved("GIF", 3)),
        ("e.webp", lambda: saved("WEBP", 2)),
        ("pages.tif", lambda: saved("TIFF", 2)),
    )(tmp_path / "episodes")
    said = looked_at(tmp_path / "episodes", Store(str(tmp_path / "store")), instance)
    [told] = said.report.notices
    assert told.startswith("art.art: d.gif, e.webp: an animation, whose frames are pictures")
    assert told in said.status.notes
    assert said.report.whole
    assert said.report.as_dict()["notices"] == [told]


def test_a_notice_of_many_episodes_is_one_line(tmp_path):
    store = Store(str(tmp_path / "store"))
    for episode in ("a.e1", "a.e2"):
        known = {"numbers": {"not_looked_at": "without shots", "keep": 0}}
        store.write("alignments", SCHEMAS["alignments"].empty(), episode, Provenance.from_json(known))
    assert report_on(store, Outcome(["a.e1", "a.e2"], []), {}, {}).notices == ["2 episodes: without shots"]
    assert notices_of(store, ["a.e2", "a.e3"]) == ["a.e2: without shots"]


def test_failed_checks_of_every_asset_are_reported_once_each(tmp_path):
    store = Store(str(tmp_path / "store"))

    def write(asset: str, episode: str | None, **faults: str) -> None:
        store.write(asset, SCHEMAS[asset].empty(), episode, Provenance.from_json({"numbers": {}, "faults": faults}))

    write("video_probe", "a.e1", source_can_be_read="cut off; no sound", source_is_undamaged="cut off; no sound")
    write("keyframes", "a.e1", every_frame_was_decoded="cut off; 3 frames lost")
    write("shots", "a.e1", every_shot_was_decoded="cut off; 3 frames lost")
    write("quality_scores", "a.e1", every_score_is_a_number="2 scores are none")
    write("character_gallery", None, all_crops_speak_one_language="9 were embedded by other weights")
    report = report_on(store, Outcome(["a.e1"], ["a.e1"]), {}, {})
    assert report.damaged == {"a.e1": ["cut off", "no sound", "3 frames lost"]}
    assert report.faults == {
        "": ["character_gallery: 9 were embedded by other weights"],
        "a.e1": ["quality_scores: 2 scores are none"],
    }
    assert not report.whole
    assert report.as_dict()["faults"] == report.faults
    assert faults_of(store, "b.e2") == []
