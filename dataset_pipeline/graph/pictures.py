"""The pictures of a step: those it may look at, and those it writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dataset_pipeline.base.cores import usable_cores
from dataset_pipeline.base.parallel import map_ahead
from dataset_pipeline.base.progress import track
from dataset_pipeline.base.timing import timed_iteration
from dataset_pipeline.graph.reading import Reading
from dataset_pipeline.graph.versions import version_of
from dataset_pipeline.store.left_out import is_of_one, reason_of
from dataset_pipeline.store.store import PictureGone, Store
from dataset_pipeline.video.clip_files import ClipFile

GENERATED_SUFFIX = "png"
MOST_THREADS = 8  # each has three pictures under way: at most 24, 150 MB of 1080p
FACTS = "pixel_sha256", "width_px", "height_px"  # of a picture
Given = TypeVar("Given")
Made = TypeVar("Made")


class Pictures(Reading):
    """The part of a step that reads, draws and keeps stored pictures."""

    def encoded_picture(self, path: str) -> bytes:
        """A stored picture that a table this step has read names, as its file's bytes. PictureGone if it is gone."""
        self._pictures.check(path)
        return self._work.store.read_picture(path)

    def local_picture(self, path: str) -> Path | None:
        """Where such a picture lies on this machine's disk; None if the store is elsewhere."""
        self._pictures.check(path)
        return self._work.store.local_path(path)

    def picture(self, path: str) -> np.ndarray:
        """Such a picture, uint8 [height, width, 3] RGB. Raises PictureGone, or ValueError if it cannot be read."""
        from dataset_pipeline.images.resize import decode

        self._pictures.check(path)
        memory = self._work.memory
        if (held := memory.get(path)) is not None:
            return held
        encoded = self.encoded_picture(path)
        try:
            picture = decode(encoded)
        except ValueError as error:
            place = self._work.store.local_path(path) or self._work.store.uri(path)
            raise ValueError(f"{place} is damaged: delete it, and the next run makes it again ({error})") from error
        memory.put(path, picture)
        return picture

    def pictures(self, paths: Iterable[str]) -> Iterator[np.ndarray]:
        """Stored pictures in order, read a few ahead."""
        yield from timed_iteration("decode and encode", _ahead_of(self.picture, self._work.store.ahead(paths)))

    def readable(
        self, paths: Iterable[str], change: Callable[[np.ndarray], np.ndarray] = lambda picture: picture
    ) -> Iterator[np.ndarray | Exception]:
        """As `pictures`, each changed, with the error in the place of a picture that is gone or damaged."""
        coming = self._work.store.ahead(paths)
        read = _ahead_of(lambda path: _or_error(lambda path: change(self.picture(path)), path), coming)
        yield from timed_iteration("decode and encode", read)

    def save_pictures(self, pictures: Iterable[tuple[dict, np.ndarray]], left_out: dict[str, str]) -> Iterator[dict]:
        """Write each picture under its row's `image_id`; yield the row with `path` and `pixel_sha256` filled in.

        A picture that cannot be encoded is not yielded, and `left_out` gets the reason by image id.
        """
        from dataset_pipeline.images.png import encode_png
        from dataset_pipeline.images.resize import pixel_sha256

        assert self.episode is not None
        episode = self.episode

        def save(item: tuple[dict, np.ndarray]) -> dict | None:
            row, pixels = item
            encoded = _or_error(encode_png, pixels)
            if isinstance(encoded, Exception):
                left_out[row["image_id"]] = reason_of(encoded)
                return None
            path = self._work.store.put_picture(self.declaration.name, episode, row["image_id"], encoded, "png")
            self._work.memory.put(path, pixels)
            return {**row, "path": path, "pixel_sha256": pixel_sha256(pixels)}

        saved = timed_iteration("decode and encode", _ahead_of(save, pictures))
        yield from (row for row in saved if row is not None)

    def render(
        self,
        rows: list[dict],
        same: tuple[str, ...],
        given: str,
        draw: Callable[[list[dict]], Iterable[tuple[str, np.ndarray | Exception]]],
    ) -> tuple[list[dict], dict[str, str]]:
        """Pictures for the rows with `kept`, drawing only those that are not there yet.

        A picture of last time is taken over if its row agrees in the columns `same` and the input table `given` is
        the same version, or agrees in `same` alone where `given` is empty. `draw(rows)` yields (image_id, pixels), or
        the error instead; a kept row of which no picture comes becomes `unreadable`. Returns the rows, and by image id
        what is known of why there is no picture.
        """
        before = self._rendered_before(same, given)
        kept = [row for row in rows if row["kept"]]
        done = {
            row["image_id"]: {**row, "path": old["path"], "pixel_sha256": old["pixel_sha256"]}
            for row in kept
            if (old := before.get(tuple(row[name] for name in same)))
        }
        absent = {row["image_id"]: row for row in kept if row["image_id"] not in done}
        left_out: dict[str, str] = {}

        def pairs() -> Iterator[tuple[dict, np.ndarray]]:
            drawn = timed_iteration("decode and encode", draw(list(absent.values()))) if absent else ()
            for image_id, pixels in track(drawn, self.declaration.name, len(absent)):
                if isinstance(pixels, Exception):
                    left_out[image_id] = reason_of(pixels)
                else:
                    yield absent[image_id], pixels

        for row in self.save_pictures(pairs(), left_out):
            done[row["image_id"]] = row
        lost = {"kept": False, "reason": "unreadable", "path": "", "pixel_sha256": ""}
        rendered = [
            done.get(row["image_id"], {**row, **lost}) if row["kept"] else {**row, "path": "", "pixel_sha256": ""}
            for row in rows
        ]
        return rendered, left_out

    def generated(
        self,
        rows: list[dict],
        made_from: Callable[[dict], str],
        make: Callable[[list[dict]], Iterable[np.ndarray | Exception]],
    ) -> tuple[list[dict], dict[str, str], int]:
        """Of each row the picture (image_id, path, pixel_sha256, width_px, height_px), asking only for those of which
        none is there from the same hash, `made_from(row)`; why some have none, by image id; and how many were made.

        `make(rows)` yields a picture or an error for each, in order. Each is kept before the next is asked for, so a
        run that is killed goes on where it was.
        """
        from dataset_pipeline.images.resize import encode

        assert self.episode is not None
        store, asset, episode = self._work.store, self.declaration.name, self.episode
        before = {row["path"]: {name: row[name] for name in FACTS} for row in self.previous()}
        done: dict[str, dict] = {}
        for row in rows:
            path = store.picture_made_from(asset, episode, row["image_id"], made_from(row), GENERATED_SUFFIX)
            if path and (facts := before.get(path) or _facts_at(path, store)):
                done[row["image_id"]] = {"image_id": row["image_id"], "path": path, **facts}
        absent = [row for row in rows if row["image_id"] not in done]
        left_out: dict[str, str] = {}
        for row, made in zip(absent, track(make(absent), asset, len(absent)), strict=True):
            if isinstance(made, Exception):
                left_out[row["image_id"]] = reason_of(made)
                continue
            encoded = encode(made, GENERATED_SUFFIX, 100)
            path = store.put_picture(asset, episode, row["image_id"], encoded, GENERATED_SUFFIX, made_from(row))
            done[row["image_id"]] = {"image_id": row["image_id"], "path": path, **_facts_of(made)}
        return [done[row["image_id"]] for row in rows if row["image_id"] in done], left_out, len(absent) - len(left_out)

    def redrawn(
        self, images: list[dict], change: Callable[[np.ndarray], np.ndarray], format: str, quality: int
    ) -> tuple[list[dict], dict[str, str]]:
        """Rows of `training_images`: the changed picture of each image, or of its part `cut_px`, unless it is there
        from equal pixels.

        Also why there is none, by image id, where the picture is gone or broken.
        """
        from dataset_pipeline.images.resize import encode

        assert self.episode is not None
        episode = self.episode
        before = self._redrawn_before()

        def changed(image: dict) -> tuple[np.ndarray, bytes]:
            picture = self.picture(image["path"])
            if image["cut_px"]:
                left, top, right, bottom = image["cut_px"]
                picture = picture[top:bottom, left:right]
            picture = change(picture)
            return picture, encode(picture, format, quality)

        def redraw(image: dict) -> dict | Exception:
            known = before.get(_drawn_from(image, "pixel_sha256"))
            if known:
                return known
            made = _or_error(changed, image)
            if isinstance(made, Exception):
                return made
            picture, encoded = made
            path = self._work.store.put_picture(self.declaration.name, episode, image["image_id"], encoded, format)
            return {
                "image_id": image["image_id"],
                "source_sha256": image["pixel_sha256"],
                "cut_px": image["cut_px"],
                "path": path,
                "width_px": picture.shape[1],
                "height_px": picture.shape[0],
                "size_bytes": len(encoded),
                "file_sha256": hashlib.sha256(encoded).hexdigest(),
            }

        made = timed_iteration("decode and encode", _ahead_of(redraw, images))
        rows: list[dict] = []
        left_out: dict[str, str] = {}
        for image, found in zip(images, track(made, self.declaration.name, len(images)), strict=True):
            if isinstance(found, Exception):
                left_out[image["image_id"]] = reason_of(found)
            else:
                rows.append(found)
        return rows, left_out

    def encoded(
        self,
        rows: list[dict],
        same: tuple[str, ...],
        given: str,
        suffix: str,
        encode: Callable[[list[dict]], Iterable[tuple[str, ClipFile | Exception]]],
    ) -> tuple[list[dict], dict[str, str]]:
        """Rows of `training_clips` for rows of `clips`, encoding only files that are not there yet; by image id why
        there is none.

        A file of last time stays if its row agrees in the columns `same`, and the asset's `code_version` and the
        version of the input table `given` are those of last time. `encode(rows)` yields (image_id, file), or the error.
        """
        assert self.episode is not None
        is_same_code = self.last is not None and self.last.provenance.code_version == self.code_version
        before = self._rendered_before(same, given) if is_same_code else {}
        done = {row["image_id"]: old for row in rows if (old := before.get(tuple(row[name] for name in same)))}
        absent = {row["image_id"]: row for row in rows if row["image_id"] not in done}
        left_out: dict[str, str] = {}
        made = timed_iteration("decode and encode", encode(list(absent.values()))) if absent else ()
        for image_id, file in track(made, self.declaration.name, len(absent)):
            if isinstance(file, Exception):
                left_out[image_id] = reason_of(file)
                continue
            path = self._work.store.put_picture(self.declaration.name, self.episode, image_id, file.data, suffix)
            done[image_id] = {name: absent[image_id][name] for name in same} | {
                "path": path,
                "width_px": file.width_px,
                "height_px": file.height_px,
                "size_bytes": len(file.data),
                "file_sha256": hashlib.sha256(file.data).hexdigest(),
            }
        return list(done.values()), left_out

    def _redrawn_before(self) -> dict[tuple[str, str, tuple[int, ...]], dict]:
        """The rows of last time whose pictures are there, by what they were drawn from, if they were made the same
        way."""
        pointer = self.last
        if pointer is None or pointer.provenance.code_version != self.code_version:
            return {}
        missing = self._work.store.missing_pictures(self.declaration.name, self.episode)
        there = (row for row in self.previous() if row["path"] not in missing)
        return {_drawn_from(row, "source_sha256"): row for row in there}

    def _rendered_before(self, same: tuple[str, ...], given: str) -> dict[tuple, dict]:
        store = self._work.store
        pointer = self.last
        if pointer is None or not pointer.provenance.code_version.startswith(f"{self.declaration.algorithm}-"):
            return {}
        if given:
            now = self.pointer(given)
            if now is None or pointer.provenance.inputs.get(given) != version_of(now):
                return {}
        missing = store.missing_pictures(self.declaration.name, self.episode)
        return {
            tuple(row[name] for name in same): row
            for row in self.previous()
            if row["path"] and row["path"] not in missing
        }


def _drawn_from(row: dict, pixels: str) -> tuple[str, str, tuple[int, ...]]:
    """Image, its pixels and what of them is taken. pixels: the column."""
    return row["image_id"], row[pixels], tuple(row["cut_px"] or ())


def _facts_of(picture: np.ndarray) -> dict[str, Any]:
    from dataset_pipeline.images.resize import pixel_sha256

    height_px, width_px = picture.shape[:2]
    return {"pixel_sha256": pixel_sha256(picture), "width_px": width_px, "height_px": height_px}


def _facts_at(path: str, store: Store) -> dict[str, Any]:
    """FACTS of a stored picture; none where it cannot be read, so that it is made again."""
    from dataset_pipeline.images.resize import decode

    try:
        return _facts_of(decode(store.read_picture(path)))
    except (PictureGone, ValueError):
        return {}


def _or_error(function: Callable[[Given], Made], given: Given) -> Made | Exception:
    """What the function gives, or the error if it is one picture's alone; raises any other."""
    try:
        return function(given)
    except Exception as error:
        if is_of_one(error):
            return error
        raise


def _ahead_of(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """The map of pictures that are read or written: a few ahead of the one at work, on up to eight cores."""
    threads = min(max(2, usable_cores()), MOST_THREADS)
    return map_ahead(function, items, threads, ahead=3 * threads)
