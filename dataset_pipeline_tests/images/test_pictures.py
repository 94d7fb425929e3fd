import io
import struct
import subprocess
import tracemalloc
import zlib

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageCms

from dataset_pipeline.images.jxl import JxlHeader, jxl_header
from dataset_pipeline.images.pictures import PictureError, is_picture, iter_pictures, list_pictures, open_picture


def _png_header_only(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 1000) + b"IDAT"


def test_pictures_are_listed_by_content_and_sorted_by_path(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "@eaDir").mkdir()
    red = Image.new("RGB", (4, 4), "red")
    for name in ("z.png", "b/a.jpg", "ünï cödé.webp", ".hidden.png", "@eaDir/thumb.jpg", "half.png.part", "Thumbs.db"):
        red.save(tmp_path / name, format={"jpg": "JPEG", "webp": "WEBP"}.get(name.rpartition(".")[2], "PNG"))
    red.save(tmp_path / "no_ending", format="PNG")
    (tmp_path / "broken.png").write_text("text")
    (tmp_path / "z.txt").write_text("1girl")
    (tmp_path / "back").symlink_to(tmp_path, target_is_directory=True)
    listed = list_pictures(tmp_path)
    assert [picture.relative for picture in listed] == ["b/a.jpg", "broken.png", "no_ending", "z.png", "ünï cödé.webp"]
    assert listed[0].path == tmp_path / "b" / "a.jpg"


def test_a_folder_that_is_missing_or_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        list_pictures(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        list_pictures(tmp_path / "file")


def test_exif_orientation_turns_the_picture(tmp_path):
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by a quarter to view
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    opened = open_picture(tmp_path / "turned.png")
    assert opened.shape == (4, 2, 3)
    assert opened[0, 1].tolist() == [255, 255, 255]


def test_a_picture_whose_exif_is_broken_is_turned_all_the_same(tmp_path):
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (8, 4), "red").save(path)
    # Its orientation is sound, its resolution is text.
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x011A, 2, 2, 0xFEFF)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    assert open_picture(path).shape == (8, 4, 3)


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 100, [100, 100, 100]),
        ("1", 1, [255, 255, 255]),
        ("P", 0, [0, 0, 0]),
        ("RGBA", (200, 0, 0, 255), [200, 0, 0]),
        ("RGBA", (0, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), [204, 204, 204]),
        ("LA", (10, 0), [255, 255, 255]),
        ("I;16", 100 * 256 + 7, [100, 100, 100]),
    ],
)
def test_every_mode_becomes_rgb_and_transparency_lies_on_white(tmp_path, mode, color, expected):
    Image.new(mode, (3, 2), color).save(tmp_path / "picture.png")
    opened = open_picture(tmp_path / "picture.png")
    assert (opened.shape, opened.dtype) == ((2, 3, 3), np.uint8)
    assert opened[0, 0].tolist() == expected


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=100)
    red, green, blue = open_picture(tmp_path / "ink.jpg")[4, 4].tolist()
    assert red > 250
    assert green < 5
    assert blue < 5


def test_a_transparent_palette_colour_lies_on_the_colour_asked_for(tmp_path):
    picture = Image.new("P", (2, 2), 1)
    picture.putpalette([0, 0, 0, 9, 9, 9])
    picture.save(tmp_path / "palette.png", transparency=1)
    assert open_picture(tmp_path / "palette.png", (0, 128, 0))[0, 0].tolist() == [0, 128, 0]


def test_an_animation_gives_its_first_frame(tmp_path):
    first, second = Image.new("RGB", (2, 2), "red"), Image.new("RGB", (2, 2), "blue")
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert open_picture(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(_png_header_only(60_000, 60_000))
    with pytest.raises(PictureError, match=r"bomb\.png: .*bomb"):
        open_picture(bomb)
    Image.new("L", (20, 20)).save(tmp_path / "large.png")
    with pytest.raises(PictureError, match=r"large\.png: 20x20 pixels are more than the 399 allowed"):
        open_picture(tmp_path / "large.png", max_pixels=399)


def test_broken_pictures_are_named_with_a_reason(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for ending in ("png", "jpg", "webp"):
        whole = tmp_path / f"whole.{ending}"
        Image.fromarray(noise).save(whole)
        cut = tmp_path / f"cut.{ending}"
        cut.write_bytes(whole.read_bytes()[:-2000])
        with pytest.raises(PictureError, match=rf"cut\.{ending}: cannot be decoded") as caught:
            open_picture(cut)
        assert caught.value.path == cut
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(PictureError, match=r"text\.png: is no picture of a known format"):
        open_picture(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(PictureError, match="is empty"):
        open_picture(tmp_path / "empty.png")
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        open_picture(tmp_path / "absent.png")


def _s15(number: float) -> bytes:
    return struct.pack(">i", round(number * 65536))


def rgb_profile(primaries: dict[str, tuple[float, float, float]], gamma: float) -> bytes:
    """A matrix profile (ICC.1:2001, clause 6.3.1.1); primaries as XYZ under D50."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"test\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78 + (-len(text)) % 4),
        b"cprt": b"text\0\0\0\0none" + bytes(4),
        b"wtpt": b"XYZ \0\0\0\0" + _s15(0.9642) + _s15(1.0) + _s15(0.8249),
    }
    for letter, xyz in primaries.items():
        tags[letter.encode() + b"XYZ"] = b"XYZ \0\0\0\0" + b"".join(map(_s15, xyz))
        tags[letter.encode() + b"TRC"] = curve
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    head += bytes(28) + _s15(0.9642) + _s15(1.0) + _s15(0.8249)
    return head.ljust(128, b"\0") + table + body


# Adobe RGB (1998): its primaries adapted to D50, and gamma 2.2.
ADOBE_RGB = rgb_profile(
    {"r": (0.60974, 0.31111, 0.01947), "g": (0.20528, 0.62567, 0.06087), "b": (0.14919, 0.06322, 0.74457)}, 2.2
)


def test_a_colour_profile_is_followed_to_srgb(tmp_path):
    Image.new("RGB", (4, 4), (144, 128, 100)).save(tmp_path / "wide.png", icc_profile=ADOBE_RGB)
    # Adobe RGB (144, 128, 100) by its matrix and sRGB's: linear 0.2844, 0.2195, 0.1275 -> 0.3112, 0.2195, 0.1216.
    assert open_picture(tmp_path / "wide.png")[0, 0] == pytest.approx([151, 128, 98], abs=1)


def test_a_profile_goes_with_transparency_orientation_and_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    layer = Image.new("RGBA", (4, 2), (144, 128, 100, 255))
    layer.putpixel((0, 0), (0, 0, 0, 0))
    layer.save(tmp_path / "layer.png", icc_profile=ADOBE_RGB, exif=exif)
    opened = open_picture(tmp_path / "layer.png")
    assert opened.shape == (4, 2, 3)
    assert opened[0, 1].tolist() == [255, 255, 255]
    assert opened[3, 0] == pytest.approx([151, 128, 98], abs=1)


def test_an_srgb_profile_changes_no_pixel_and_a_broken_one_counts_as_srgb(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, profile in (("srgb.png", srgb), ("broken.png", b"no profile at all"), ("cut.png", ADOBE_RGB[:200])):
        Image.fromarray(pixels).save(tmp_path / name, icc_profile=profile)
        assert np.array_equal(open_picture(tmp_path / name), pixels)


def test_a_profile_that_does_not_fit_the_pixels_counts_as_srgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=100, icc_profile=ADOBE_RGB)
    red, green, blue = open_picture(tmp_path / "ink.jpg")[4, 4].tolist()
    assert (red > 250, green < 5, blue < 5) == (True, True, True)


def test_lab_becomes_rgb(tmp_path):
    Image.frombytes("LAB", (2, 2), bytes([136, 0, 0]) * 4).save(tmp_path / "lab.tif")
    # L* = 53.3, the middle grey of sRGB: 127.
    assert open_picture(tmp_path / "lab.tif")[0, 0] == pytest.approx([127, 127, 127], abs=2)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep_alpha.png", "deep_grey.png"])
def test_sixteen_bits_keep_their_high_byte(tmp_path, name):
    deep = np.random.default_rng(1).integers(0, 65536, (8, 8, 3), dtype=np.uint16)
    written = {
        "deep_alpha.png": np.dstack([deep, np.full((8, 8), 65535, np.uint16)]),
        "deep_grey.png": deep[..., 0],
    }.get(name, deep)
    cv2.imwrite(str(tmp_path / name), written)
    expected = np.repeat(deep[..., :1], 3, axis=2) if name == "deep_grey.png" else deep[..., ::-1]
    assert np.array_equal(open_picture(tmp_path / name), expected >> 8)


@pytest.mark.parametrize(
    "pixel_format", ["rgb24", "gbrp10le", "gbrp12le", "rgb48le", "rgba64le", "gray12le", "gray16le"]
)
def test_white_of_jpeg_2000_is_white_in_every_depth(tmp_path, pixel_format):
    path, drawn = tmp_path / "a.jp2", "color=white:s=64x48,drawbox=c=black:w=32:t=fill"
    one_frame = ["-frames:v", "1", "-c:v", "libopenjpeg", "-pix_fmt", pixel_format, path]
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", drawn, *one_frame], check=True)
    picture = open_picture(path)
    assert picture[20, 10].tolist() == [0, 0, 0]
    assert picture[20, 54].tolist() == pytest.approx([255] * 3, abs=2)  # of 235 limited in 16 bits


def animation() -> list[Image.Image]:
    """Red, red again, blue, red once more, green."""
    return [Image.new("RGB", (12, 8), color) for color in ("red", "red", "blue", "red", (0, 255, 0))]


@pytest.mark.parametrize(
    ("name", "options"),
    [("moving.gif", {}), ("moving.png", {}), ("moving.webp", {"lossless": True}), ("pages.tif", {})],
)
def test_every_distinct_frame_of_an_animation_is_a_picture(tmp_path, name, options):
    first, *others = animation()
    first.save(tmp_path / name, save_all=True, append_images=others, duration=[100, 110, 120, 130, 140], **options)
    found = list(iter_pictures(tmp_path / name))
    assert [picture[3, 3].tolist() for _, picture in found] == [[255, 0, 0], [0, 0, 255], [0, 255, 0]]
    for index, picture in found:
        assert np.array_equal(open_picture(tmp_path / name, frame=index), picture)
    with pytest.raises(PictureError, match="has no frame 5, only"):
        open_picture(tmp_path / name, frame=5)


def test_frames_are_as_a_player_shows_them(tmp_path):
    base, patch = Image.new("RGBA", (6, 4), (200, 0, 0, 255)), Image.new("RGBA", (6, 4), (0, 0, 0, 0))
    patch.putpixel((1, 1), (0, 0, 200, 255))
    base.save(tmp_path / "patched.png", save_all=True, append_images=[patch], blend=1, disposal=0)
    (_, first), (_, second) = iter_pictures(tmp_path / "patched.png")
    assert first[1, 1].tolist() == [200, 0, 0]
    assert second[1, 1].tolist() == [0, 0, 200]
    assert second[0, 0].tolist() == [200, 0, 0]


def test_a_still_is_one_picture_and_the_previews_of_a_photo_are_none(tmp_path):
    noise = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "still.png")
    assert [index for index, _ in iter_pictures(tmp_path / "still.png")] == [0]
    Image.fromarray(noise).save(
        tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[Image.fromarray(255 - noise)]
    )
    assert [index for index, _ in iter_pictures(tmp_path / "photo.jpg")] == [0]


def test_an_animation_is_bounded_in_frames_and_in_pixels(tmp_path):
    first, *others = animation()
    path = tmp_path / "long.gif"
    first.save(path, save_all=True, append_images=others, duration=[100, 110, 120, 130, 140])
    frames = iter_pictures(path, max_frames=2)
    assert [next(frames)[0], next(frames)[0]] == [0, 1]
    with pytest.raises(PictureError, match=r"long\.gif: 4 frames are more than the 2 allowed"):  # GIF joins equal ones
        next(frames)
    frames = iter_pictures(path, max_animation_pixels=3 * 12 * 8)
    assert [next(frames)[0], next(frames)[0]] == [0, 1]
    with pytest.raises(PictureError, match="more than 288 pixels in all, frame 3"):
        next(frames)
    with pytest.raises(PictureError, match="12x8 pixels are more than the 95 allowed"):
        next(iter_pictures(path, max_pixels=95))


def test_a_cut_off_animation_gives_its_good_frames_and_then_says_what_is_wrong(tmp_path):
    rng = np.random.default_rng(3)
    frames = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(4)]
    whole = io.BytesIO()
    frames[0].save(whole, format="PNG", save_all=True, append_images=frames[1:])
    path = tmp_path / "cut.png"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) * 5 // 8])
    good: list[int] = []
    with pytest.raises(PictureError, match=r"cut\.png: cannot be decoded"):  # noqa: PT012
        for index, _ in iter_pictures(path):
            good.append(index)
    assert good == [0, 1]


# ------------------------------------------------------------------------------ HEIC, JPEG XL, TGA and their like

QUARTERS = np.zeros((24, 32, 3), np.uint8)
EXACT: dict[str, dict] = {
    "JXL": {"lossless": True},
    "HEIF": {"quality": 100, "chroma": 444},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
QUARTERS[:12, :16], QUARTERS[:12, 16:], QUARTERS[12:, :16] = (250, 10, 10), (10, 250, 10), (10, 10, 250)


@pytest.fixture(scope="module", autouse=True)
def plugins():
    """Pillow writes HEIC and JPEG XL too."""
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()


def close_to(picture: np.ndarray, expected: np.ndarray) -> bool:
    return picture.shape == expected.shape and int(np.abs(picture.astype(int) - expected).max()) <= 12


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *[("a.heic", "HEIF"), ("a.HIF", "HEIF"), ("no_ending", "HEIF"), ("a.jxl", "JXL"), ("no_ending", "JXL")],
        *[("a.tga", "TGA"), ("a.qoi", "QOI"), ("a.dds", "DDS"), ("a.ppm", "PPM"), ("a.pcx", "PCX"), ("a.avif", "AVIF")],
    ],
)
def test_pictures_of_phones_games_and_archives_are_read_with_their_transparency(tmp_path, name, form):
    path, exact = tmp_path / name, EXACT.get(form, {})
    Image.fromarray(QUARTERS).save(path, format=form, **exact)
    assert [picture.path for picture in list_pictures(tmp_path)] == [path]
    assert close_to(open_picture(path), QUARTERS)
    if form in ("PPM", "PCX"):
        return
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[12:] = 0
    Image.fromarray(np.dstack([QUARTERS, alpha])).save(path, format=form, **exact)
    assert close_to(open_picture(path, (0, 200, 0))[:12], QUARTERS[:12])
    assert close_to(open_picture(path, (0, 200, 0))[14:], np.broadcast_to((0, 200, 0), (10, 32, 3)))


def test_the_orientation_of_heic_and_jpeg_xl_is_followed_once(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(QUARTERS).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    turned = np.rot90(QUARTERS, -1)
    with Image.open(tmp_path / "a.jpg") as photo:
        photo.save(tmp_path / "packed.jxl", lossless_jpeg=True)
        photo.save(tmp_path / "a.heic", format="HEIF", quality=100, chroma=444)
    assert b"irot" in (tmp_path / "a.heic").read_bytes()
    assert close_to(open_picture(tmp_path / "a.jpg"), turned)
    assert close_to(open_picture(tmp_path / "packed.jxl"), turned)
    assert close_to(open_picture(tmp_path / "a.heic"), turned)
    # Of its own pixels JPEG XL is turned by its header alone, here not at all.
    Image.fromarray(QUARTERS).save(tmp_path / "own.jxl", lossless=True, exif=exif.tobytes())
    assert close_to(open_picture(tmp_path / "own.jxl"), QUARTERS)


@pytest.mark.parametrize(("name", "form"), [("a.heic", "HEIF"), ("a.jxl", "JXL")])
def test_a_cut_off_picture_of_a_phone_is_named_and_a_bomb_is_refused_before_it_is_decoded(tmp_path, name, form):
    noise = np.random.default_rng(4).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name, format=form)
    with pytest.raises(PictureError, match="48x64 pixels are more than the 99 allowed"):
        open_picture(tmp_path / name, max_pixels=99)
    whole = (tmp_path / name).read_bytes()
    for length in (len(whole) // 2, 60, 3):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(PictureError, match=f"{name}: "):
            open_picture(tmp_path / name)
    (tmp_path / "b").write_bytes(whole[:3])
    is_picture(tmp_path / "b")  # says what it will, and breaks nothing


def test_deep_heic_keeps_its_high_bits_and_hdr_is_refused_by_name(tmp_path):
    import pillow_heif

    deep = np.full((32, 32, 3), 0x8000, np.uint16)
    image = pillow_heif.from_bytes("RGB;16", (32, 32), deep.tobytes())
    image.save(tmp_path / "deep.heic", quality=100, bit_depth=10)
    assert close_to(open_picture(tmp_path / "deep.heic"), np.full((32, 32, 3), 128))
    image.save(tmp_path / "hdr.heic", quality=100, bit_depth=10, save_nclx_profile=True, transfer_characteristics=16)
    with pytest.raises(PictureError, match="brightness is coded for HDR"):
        open_picture(tmp_path / "hdr.heic")


def test_an_animation_in_jpeg_xl_is_named_and_not_taken_for_its_last_frame(tmp_path):
    drawn = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x48:rate=5:duration=1",
        "-c:v",
        "libjxl_anim",
        "-f",
        "image2pipe",
        "-",
    ]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *drawn]
    made = subprocess.run(ffmpeg, check=True, capture_output=True).stdout
    (tmp_path / "a.jxl").write_bytes(made)
    assert jxl_header(tmp_path / "a.jxl") == JxlHeader(64, 48, True)
    with pytest.raises(PictureError, match="is an animation in JPEG XL, which is not read: save it as WebP or PNG"):
        open_picture(tmp_path / "a.jxl")


@pytest.mark.parametrize(
    "size", [(8, 8), (400, 300), (1, 1), (2000, 3), (1000, 1500), (256, 256), (640, 360), (3, 9000)]
)
def test_the_header_of_jpeg_xl_tells_its_size(tmp_path, size):
    for container in (False, True):
        Image.new("RGB", size).save(tmp_path / "a.jxl", use_container=container, effort=1)
        assert jxl_header(tmp_path / "a.jxl") == JxlHeader(*size, animated=False)


def test_a_video_called_a_picture_is_told_to_be_one_and_raw_files_are_not_taken_by_their_preview(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2")
    with pytest.raises(PictureError, match="is no picture of a known format: it looks like a video"):
        open_picture(tmp_path / "a.gif")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.dng", format="TIFF")
    assert not is_picture(tmp_path / "photo.dng")


# ---------------------------------------------------------------------------------- PNG with more than pixels


def _png(*before: bytes, after: bytes = b"", pixels: np.ndarray | None = None, **options) -> bytes:
    """A PNG with further chunks before and after its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 6, 3), 90, np.uint8) if pixels is None else pixels).save(buffer, "PNG", **options)
    data = buffer.getvalue()
    return data[:33] + b"".join(before) + data[33:-12] + after + data[-12:]


def _chunk(name: bytes, data: bytes, *, broken: bool = False) -> bytes:
    checksum = zlib.crc32(name + data) ^ broken
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


LONG = b"a workflow of many nodes " * 80_000  # 2 MB
BOMB = zlib.compress(bytes(200 << 20), 9)  # 200 MB in 200 kB
TEXTS = {
    "plain": [_chunk(b"tEXt", b"workflow\0" + LONG)],
    "compressed": [_chunk(b"zTXt", b"workflow\0\0" + zlib.compress(LONG))],
    "international": [_chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LONG))],
    "more than 64 MB in all": [_chunk(b"zTXt", b"w%d\0\0" % i + zlib.compress(bytes(1 << 20))) for i in range(70)],
    "a bomb": [_chunk(b"zTXt", b"workflow\0\0" + BOMB)],
    "an international bomb": [_chunk(b"iTXt", b"workflow\0\1\0\0\0" + BOMB)],
    "a bomb where a turn may stand": [_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB)],
    "broken checksum": [_chunk(b"tEXt", b"workflow\0short", broken=True)],
    "unknown compression": [_chunk(b"zTXt", b"workflow\0\7" + zlib.compress(b"short"))],
    "bomb for a profile": [_chunk(b"iCCP", b"icc\0\0" + BOMB)],
    "unknown compression of a profile": [_chunk(b"iCCP", b"icc\0\7" + LONG)],
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_a_png_holds_beside_its_pixels_costs_no_picture_and_no_memory(tmp_path, kind):
    path = tmp_path / "picture.png"
    after = b"".join(TEXTS[kind]) if "profile" not in kind else b""
    for data in (_png(*TEXTS[kind]), _png(after=after)):
        path.write_bytes(data)
        tracemalloc.start()
        opened = open_picture(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (opened == 90).all()
        assert peak < len(data) * 3 + (40 << 20)


def test_a_png_animation_with_long_text_gives_all_its_frames(tmp_path):
    path = tmp_path / "moving.png"
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    data = path.read_bytes()
    path.write_bytes(data[:33] + TEXTS["compressed"][0] + data[33:])
    assert [picture[0, 0].tolist() for _, picture in iter_pictures(path)] == [[255, 0, 0], [0, 128, 0], [0, 0, 255]]


def test_a_turn_that_stands_in_text_is_followed_beside_long_text(tmp_path):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    turned = _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    (tmp_path / "turned.png").write_bytes(_png(*TEXTS["compressed"], turned))
    assert open_picture(tmp_path / "turned.png").shape == (6, 4, 3)


def test_a_colour_profile_of_more_than_a_megabyte_is_followed(tmp_path):
    swapped = _swapped_profile()
    (tmp_path / "small.png").write_bytes(_png(icc_profile=swapped))
    private = bytes(4) * 400_000  # behind the profile's own tags, where no reader looks
    large = struct.pack(">I", len(swapped) + len(private)) + swapped[4:] + private
    (tmp_path / "large.png").write_bytes(_png(icc_profile=large))
    pixels = open_picture(tmp_path / "small.png")
    assert pixels[0, 0].tolist() != [90, 90, 90]
    assert (open_picture(tmp_path / "large.png") == pixels).all()


def _swapped_profile() -> bytes:
    """A profile whose grey is lighter than that of sRGB: linear light."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack_from(">I", profile, 128)[0]):
        name, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            profile[offset : offset + 12] = b"curv" + bytes(8)
    return bytes(profile)


def test_a_png_that_is_cut_off_behind_long_text_is_named(tmp_path):
    whole = _png(*TEXTS["compressed"], pixels=np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for length in (len(whole) - 4000, 60, 45):
        (tmp_path / "cut.png").write_bytes(whole[:length])
        with pytest.raises(PictureError, match=r"cut\.png"):
            open_picture(tmp_path / "cut.png")
