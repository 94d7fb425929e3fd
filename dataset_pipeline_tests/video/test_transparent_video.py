"""Transparent video is laid over `alpha_background`, as transparent pictures are."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dataset_pipeline.settings import load_settings
from dataset_pipeline.sources.media import candidates, full_size, probe_source
from dataset_pipeline.video.stream import DecodeReport

# Three stripes of blue, opaque, half transparent and transparent, that change places from the 8th frame on.
STRIPES = r"if(lt(N\,8)\,if(lt(X\,32)\,255\,if(lt(X\,64)\,128\,0))\,if(lt(X\,32)\,0\,if(lt(X\,64)\,128\,255)))"
SOURCE = f"color=c=0x2040c0:s=96x64:r=8:d=2,format=rgba,geq=r=32:g=64:b=192:a='{STRIPES}'"
VPX = ["-b:v", "0", "-crf", "4", "-g", "5", "-auto-alt-ref", "0", "-pix_fmt", "yuva420p"]
CODINGS = {
    "VP9": ("a.webm", ["-c:v", "libvpx-vp9", *VPX, "-cpu-used", "8", "-deadline", "realtime"]),
    "VP8": ("a.webm", ["-c:v", "libvpx", *VPX, "-b:v", "2M"]),
    "ProRes 4444": ("a.mov", ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"]),
    "QuickTime animation": ("a.mov", ["-c:v", "qtrle", "-pix_fmt", "argb"]),
    "PNG": ("a.mov", ["-c:v", "png", "-pix_fmt", "rgba"]),
    "FFV1": ("a.mkv", ["-c:v", "ffv1", "-pix_fmt", "yuva444p"]),
    "FFV1, ten bits": ("a.mkv", ["-c:v", "ffv1", "-pix_fmt", "yuva420p10le"]),
}
BLUE = np.array([32, 64, 192])


def pictures_of(path: Path, background: Sequence[int], mode: str) -> list[tuple[float, np.ndarray]]:
    """(second, full-size picture) of each candidate, which is what its working copy shows."""
    source = {"episode": "show.1", "path": str(path), "kind": "video"}
    changes = {"mode": mode, "every_s": 0.5, "alpha_background": list(background)}
    settings = load_settings().keyframes.model_copy(update=changes)
    row, report, rows, small = probe_source(source), DecodeReport(), {}, {}
    for one, copy in candidates(source, row, settings, report):
        rows[one["image_id"]], small[one["image_id"]] = one, copy
    assert report.reasons == []
    pictures = dict(full_size(source, rows, settings=settings, probe_row=row))
    for image_id, picture in pictures.items():
        np.testing.assert_array_equal(picture, small[image_id])
    return [(rows[image_id]["pts_s"], picture) for image_id, picture in pictures.items()]


@pytest.mark.parametrize(("name", "coding"), CODINGS.values(), ids=CODINGS.keys())
def test_transparent_video_is_laid_over_the_background(ffmpeg, tmp_path, name, coding):
    path = tmp_path / name
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", SOURCE, *coding, path)
    for mode, background in (("interval", (255, 255, 255)), ("interval", (250, 10, 20)), ("iframes", (250, 10, 20))):
        found = pictures_of(path, background, mode)
        assert len(found) == 4 or mode == "iframes"
        for second, picture in found:
            places = (16, 48, 80) if second < 1 else (80, 48, 16)
            behind = np.array(background)
            for column, opacity in zip(places, (1, 128 / 255, 0), strict=True):
                expected = opacity * BLUE + (1 - opacity) * behind
                assert np.abs(picture[32, column] - expected).max() <= 6, (mode, second, column)


def test_opaque_video_knows_no_background(ffmpeg, tmp_path):
    path = tmp_path / "a.mkv"
    source = "testsrc2=s=96x64:r=8:d=1"
    ffmpeg("-loglevel", "error", "-f", "lavfi", "-i", source, "-c:v", "ffv1", "-pix_fmt", "yuv420p", path)
    white, red = (pictures_of(path, background, "interval") for background in ((255, 255, 255), (255, 0, 0)))
    for (_, one), (_, other) in zip(white, red, strict=True):
        np.testing.assert_array_equal(one, other)
