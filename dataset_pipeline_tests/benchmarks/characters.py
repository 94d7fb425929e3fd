"""Characters of many crops: time and memory of making the gallery, and what more characters cost an episode.

    python dataset_pipeline_tests/benchmarks/characters.py [appearances | crops | episode]

appearances: 20,000 of them, a body each. crops: 100,000, two for each appearance. episode: one of 600 crops, its
vectors made by the identity model and compared with 5 and with 40 characters. Vectors are made up: people around
directions of their own, each in three outfits, five in a hundred of nobody. Every size runs in a process of its own;
the peak is that of the whole process, its vectors included.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from dataset_pipeline.characters.appearances import appearances_of
from dataset_pipeline.characters.building import build_gallery
from dataset_pipeline.characters.gallery import decide_clusters
from dataset_pipeline.models import Identity
from dataset_pipeline.settings import load_settings, resources_folder

LENGTH = 768
PEOPLE = 60
SIZES = {"appearances": (20_000, ("person",)), "crops": (50_000, ("person", "head"))}
GALLERY = load_settings(resources_folder() / "settings.toml").character_gallery


def crops_of_people(stills: int, kinds: tuple[str, ...]) -> tuple[list[dict], dict[str, np.ndarray], np.ndarray]:
    """Rows of `crops`, vectors float32 [768] by id, and who is on each still (-1 nobody), one person on each."""
    rng = np.random.default_rng(0)
    who = np.where(rng.random(stills) < 0.05, -1, rng.integers(PEOPLE, size=stills))
    faces, outfits = rng.normal(size=(PEOPLE, LENGTH)), rng.normal(size=(PEOPLE, 3, LENGTH))
    crops, vectors = [], {}
    for number, person in enumerate(who.tolist()):
        still = f"show.e{number // 500:03}/{number % 500:08}"
        for kind in kinds:
            crop = f"{still}#{kind}-100-100-200-800"
            box = {"x_px": 100, "y_px": 100, "width_px": 200, "height_px": 200 if kind == "head" else 800}
            crops.append({"image_id": crop, "still_id": still, "kind": kind, "kept": True, **box})
            vector = rng.normal(size=LENGTH)
            if person >= 0:
                vector = faces[person] + 0.4 * outfits[person, rng.integers(3)] + 0.45 * vector
            vectors[crop] = vector.astype(np.float32)
    return crops, vectors, who


def differences(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    unit, other = (it / np.linalg.norm(it, axis=1, keepdims=True) for it in (ours, theirs))
    return np.clip(0.55 - 0.55 * (unit @ other.T), 0, 1)


def sized(size: str) -> None:
    crops, vectors, who = crops_of_people(*SIZES[size])
    before_mb = peak_mb()
    start = time.perf_counter()
    rows = build_gallery("show", appearances_of(crops, vectors), differences, 0.178, GALLERY)
    took_s = time.perf_counter() - start
    print(
        f"{len(crops)} crops of {len(set(who.tolist()) - {-1})} people: {len(rows)} characters in {took_s:.1f} s, "
        f"peak {peak_mb():.0f} MB, of which {before_mb:.0f} MB are the vectors and rows that it is given"
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def episode() -> None:
    """An episode's work with 5 and with 40 characters: embedding, which comes first and once, and the comparison."""
    identity = Identity(pack="demo", device="cpu", batch_size=32)
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (200, 100, 3), np.uint8) for _ in range(600)]
    identity.embed(pictures[:32])
    start = time.perf_counter()
    identity.embed(pictures)
    embedded_s = time.perf_counter() - start
    crops, vectors, _ = crops_of_people(300, ("person", "head"))
    for characters in (5, 40):
        exemplars = rng.normal(size=(characters, GALLERY.exemplars, LENGTH)).astype(np.float32)
        gallery = [
            {"character": f"c-{number:08x}", "name": f"c-{number:08x}", "exemplars": of_one, "outfits": []}
            for number, of_one in enumerate(exemplars)
        ]
        times = []
        for _ in range(9):
            start = time.perf_counter()
            decide_clusters([], crops, vectors, gallery, identity.differences, identity.threshold)
            times.append(time.perf_counter() - start)
        compared_s = statistics.median(times)
        print(
            f"{characters} characters: {len(crops)} crops embedded in {embedded_s:.2f} s and compared in "
            f"{1000 * compared_s:.1f} ms, {embedded_s + compared_s:.3f} s in all"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*SIZES, "episode"])
    what = parser.parse_args().what
    if what == "episode":
        episode()
    elif what:
        sized(what)
    else:
        for size in (*SIZES, "episode"):
            subprocess.run([sys.executable, __file__, size], check=True)


if __name__ == "__main__":
    main()
