import io
import struct

import numpy as np
import pytest
from pictures import edit_file, picture
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from dfi_jax.errors import FileError
from dfi_jax.photo.photo import Photo

# Pillow's profile of LAB in place of one of a camera: it is for other channels, so it isn't used.
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def encoded(format, **options):
    held = io.BytesIO()
    picture().save(held, format, **options)
    return held.getvalue()


def bmp(kind, profile):
    """A BMP file of version 5 with a profile."""
    plain = encoded("BMP")
    pixels = plain[54:]
    header = struct.pack("<I", 124) + plain[18:54] + bytes(16) + kind + bytes(48)
    header += struct.pack("<IIII", 4, 124 + len(pixels), len(profile), 0)
    whole = header + pixels + profile
    return b"BM" + struct.pack("<IHHI", 14 + len(whole), 0, 0, 14 + len(header)) + whole


def jp2(*, colours=None, more=b""):
    """A JPEG 2000 file whose colours are stated otherwise, with more boxes after its header."""
    plain = encoded("JPEG2000", irreversible=False)
    start, end = plain.index(b"jp2h") - 4, plain.index(b"jp2c") - 4
    header, colour = plain[start:end], plain[start:end].index(b"colr") - 4
    if colours is not None:
        (length,) = struct.unpack_from(">I", header, colour)
        stated = struct.pack(">I", 8 + len(colours)) + b"colr" + colours
        header = header[:colour] + stated + header[colour + length :]
        header = struct.pack(">I", len(header)) + header[4:]
    return plain[:start] + header + more + plain[end:]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("me.bmp", lambda: bmp(b"DEBM", PROFILE)),
        ("me.jp2", lambda: jp2(colours=b"\2\0\0" + PROFILE)),
        ("me.jp2", lambda: jp2(colours=b"\3\0\0" + PROFILE)),
    ],
)
def test_profiles_that_pillow_does_not_read_are_kept(tmp_path, name, make):
    (tmp_path / name).write_bytes(make())
    assert Photo.open(tmp_path / name).losses == ()
    made = edit_file(tmp_path / name, tmp_path / "out.png")
    assert made.info["icc_profile"] == PROFILE
    np.testing.assert_array_equal(np.asarray(made)[:10], np.asarray(picture())[:10])


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (lambda: bmp(b"KNIL", b"a.icc"), "profile is in another file"),
        (lambda: jp2(more=struct.pack(">I", 24) + b"uuid" + bytes(16)), "such as EXIF or XMP"),
        (lambda: encoded("JPEG") + b"....ftypmp42", "12 bytes after the picture"),
        (lambda: encoded("JPEG", progressive=True) + b"\0\0video\r\n", "5 bytes after the picture"),
    ],
)
def test_what_pillow_passes_over_is_reported(tmp_path, make, loss):
    (tmp_path / "me").write_bytes(make())
    (found,) = Photo.open(tmp_path / "me").losses
    assert loss in found


@pytest.mark.parametrize("make", [lambda: encoded("JPEG") + bytes(99), lambda: bmp(b"BGRs", b"")])
def test_padding_and_plain_colours_are_nothing_to_report(tmp_path, make):
    (tmp_path / "me").write_bytes(make())
    photo = Photo.open(tmp_path / "me")
    assert (photo.losses, photo.original.profile) == ((), None)


@pytest.mark.parametrize(("tag", "kind", "value"), [(254, 4, 1), (50706, 1, b"\1\4\0\0")])
def test_the_preview_in_a_raw_photo_is_not_taken_for_the_photo(tmp_path, tag, kind, value):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag], tags.tagtype[tag] = value, kind
    picture().save(tmp_path / "me.dng", "TIFF", tiffinfo=tags)
    with pytest.raises(FileError, match="a raw photo, of which only a small preview can be read"):
        Photo.open(tmp_path / "me.dng")


def test_a_png_may_have_megabytes_of_compressed_texts(tmp_path):
    text, before = "node " * 300_000, PngImagePlugin.MAX_TEXT_CHUNK
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("workflow", text, zip=True)
    picture().save(tmp_path / "me.png", pnginfo=chunks)
    assert Photo.open(tmp_path / "me.png").original.metadata.texts == (("workflow", text),)
    assert before == PngImagePlugin.MAX_TEXT_CHUNK


def test_a_tiff_file_without_a_resolution_has_none(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "me.tif")
    assert Photo.open(tmp_path / "me.tif").original.metadata.dpi is None
