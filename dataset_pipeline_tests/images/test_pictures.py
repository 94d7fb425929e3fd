import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dataset_pipeline.images.pictures import PictureError, list_pictures, open_picture


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
