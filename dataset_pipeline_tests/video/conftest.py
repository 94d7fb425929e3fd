"""Clips encoded with the reference ffmpeg, once per test session."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

MEDIA = Path(__file__).parents[2] / "../shared/media/video"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

# A test card that changes colour at uneven times, so that encoders put intra frames at cuts of their own choosing.
CUTS = "testsrc2=s=160x120:r=24:d=5,hue=h=300*floor(t*1.7):s=3,negate=enable='mod(floor(t*1.7),2)'"
STEADY = "testsrc2=s=160x120:r=24:d=3"

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le"]
CLIPS: dict[str, tuple[str, list[str]]] = {
    "open_gop.mkv": (STEADY, [*X264, "-x264-params", "open-gop=1:keyint=24:bframes=3:scenecut=0"]),
    "open_gop.mp4": (STEADY, [*X264, "-x264-params", "open-gop=1:keyint=24:bframes=3:scenecut=0"]),
    "b_pyramid.mp4": (CUTS, [*X264, "-x264-params", "keyint=250:min-keyint=125:scenecut=80:b-adapt=0:bframes=3"]),
    "deep.mkv": (CUTS, [*X264, "-x264-params", "keyint=250:scenecut=80:b-adapt=0:bframes=16:b-pyramid=strict"]),
    "broadcast.ts": (CUTS, [*X264, "-x264-params", "keyint=100:min-keyint=50:scenecut=80:bframes=2:slices=4"]),
    "interlaced.mkv": (STEADY, [*X264, "-x264-params", "tff=1:keyint=24"]),
    "ten_bit.mkv": (CUTS, [*X265, "-x265-params", "log-level=error:keyint=120:min-keyint=60:scenecut=80"]),
    "vp9.webm": (STEADY, ["-c:v", "libvpx-vp9", "-b:v", "100k", "-g", "30", "-cpu-used", "8", "-deadline", "realtime"]),
    "vp8.webm": (STEADY, ["-c:v", "libvpx", "-b:v", "100k", "-g", "30", "-cpu-used", "8", "-deadline", "realtime"]),
    "av1.mkv": (STEADY, ["-c:v", "libsvtav1", "-preset", "12", "-g", "24", "-loglevel", "quiet"]),
    "dvd.mpg": (STEADY, ["-c:v", "mpeg2video", "-g", "12", "-bf", "2"]),
    "old.avi": (STEADY, ["-c:v", "mpeg4", "-g", "24", "-bf", "2"]),
    "vfr.mkv": (
        STEADY + r",select='not(mod(n\,3))+lt(n\,24)',settb=1/1000",
        [*X264, "-fps_mode", "vfr", "-x264-params", "keyint=20"],
    ),
    "intra_refresh.mkv": (STEADY, [*X264, "-x264-params", "intra-refresh=1:keyint=24"]),
}


def run_ffmpeg(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([FFMPEG, "-hide_banner", "-y", *map(str, arguments)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A clip of `CLIPS` by name, encoded when it is first asked for."""
    folder = tmp_path_factory.mktemp("clips")

    def encoded(name: str) -> Path:
        path = folder / name
        if not path.exists():
            source, arguments = CLIPS[name]
            run_ffmpeg("-f", "lavfi", "-i", source, *arguments, path)
        return path

    return encoded


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    return run_ffmpeg


@pytest.fixture(scope="session")
def ffmpeg_intra_pts() -> Callable[[Path], list[int]]:
    """Timestamps that `ffmpeg -vf select=eq(pict_type\\,I) -vsync vfr` picks, in the stream's time base."""

    def picked(path: Path) -> list[int]:
        filters = r"select=eq(pict_type\,I),showinfo"
        log = run_ffmpeg("-copyts", "-i", path, "-an", "-vf", filters, "-fps_mode", "vfr", "-f", "null", "-").stderr
        return [int(pts) for pts in re.findall(rb"n: *\d+ pts: *(-?\d+)", log)]

    return picked


@pytest.fixture(scope="session")
def media() -> Path:
    if not MEDIA.is_dir():
        pytest.skip("no folder of freely licensed clips beside the checkout")
    return MEDIA
