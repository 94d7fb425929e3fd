"""Frames drawn at one height, upscaled to another and coded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np

from dataset_pipeline.demo.episodes import DEMO_SHOW, draw_episode
from dataset_pipeline.super_resolution.resampling import resampling_matrix

SCRIPTS = (
    "establish 0.25, talk 0.5, pair 0.25, pan 0.3, dark 0.25, blur 0.2",
    "walk 0.25, trio 0.25, focus 0.2, locked 0.4, pan 0.3, group 0.25",
)


def drawn_cels(drawn_px: int, seed: int) -> Iterator[list[tuple[np.ndarray, int]]]:
    """Of each shot its pictures, RGB uint8 [drawn_px, 16 / 9 of it, 3], with the frames that each is held."""
    show = replace(DEMO_SHOW, size=(drawn_px * 16 // 9, drawn_px), scripts=SCRIPTS, seed=seed)
    for _, _, cels in draw_episode(show, 1 + seed % 2):
        yield [(cel.image, held) for cel, held in cels]


def upscaled(picture: np.ndarray, height_px: int, scaler: str) -> np.ndarray:
    """By our own matrix of Mitchell's kernel, or by a scaler of ffmpeg."""
    height, width = picture.shape[:2]
    width_px = width * height_px // height
    if height == height_px:
        return picture
    if scaler != "mitchell":
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        return frame.reformat(width=width_px, height=height_px, interpolation=scaler).to_ndarray()
    down, across = resampling_matrix(height, height_px, "mitchell"), resampling_matrix(width, width_px, "mitchell")
    planes = [(across @ (down @ picture[..., plane].astype(float)).T).T for plane in range(3)]
    return np.stack(planes, axis=-1).round().clip(0, 255).astype(np.uint8)


def write_videos(
    folder: Path, drawn_px: int, seed: int, scaler: str, crfs: tuple[int, ...], height_px: int = 1080
) -> dict[int, Path]:
    """A short episode of so many rows as H.264, 24 frames a second, once for each quality."""
    paths = {crf: folder / f"{drawn_px}-{seed}-{scaler}-{crf}.mkv" for crf in crfs}
    containers = [av.open(str(path), "w") for path in paths.values()]
    streams = []
    for container, crf in zip(containers, crfs, strict=True):
        options = {"crf": str(crf), "preset": "veryfast", "tune": "animation", "threads": "1"}
        stream = container.add_stream("libx264", rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = height_px * 16 // 9, height_px, "yuv420p"
        streams.append(stream)
    shown = 0
    for cels in drawn_cels(drawn_px, seed):
        for picture, held in cels:
            large = upscaled(picture, height_px, scaler)
            for _ in range(held):
                for container, stream in zip(containers, streams, strict=True):
                    frame = av.VideoFrame.from_ndarray(large, "rgb24")
                    frame.pts = shown
                    container.mux(stream.encode(frame))
                shown += 1
    for container, stream in zip(containers, streams, strict=True):
        container.mux(stream.encode(None))
        container.close()
    return paths


def coded_luma(picture: np.ndarray, quality: int) -> np.ndarray:
    """float32 [h, w] of a picture that went through JPEG."""
    coded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.float32)
