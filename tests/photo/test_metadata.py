"""What a photo's file holds beside its picture, and what an edit keeps of it."""

import dataclasses
import io
import struct

import numpy as np
import pytest
from pictures import edit_file, picture, png_chunk, png_of_16_bits
from PIL import Image, PngImagePlugin, TiffTags

from dfi_jax.photo.container import coding_losses
from dfi_jax.photo.original import Original
from dfi_jax.photo.photo import Photo, save


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_and_resolution_are_kept_and_the_photo_counts_as_upright(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A camera", 6
    exif.get_ifd(0x8825)[1] = "N"  # GPS, in a directory of its own.
    exif.get_ifd(0x8769).update({40962: 60, 40963: 40})  # Width and height.
    path = tmp_path / f"me.{suffix}"
    picture().save(path, exif=exif, dpi=(300, 300))
    made = edit_file(path, tmp_path / f"out.{suffix}")
    assert made.size == (40, 60)  # The photo was turned by a quarter.
    kept = made.getexif()
    assert (kept[0x010F], kept[0x0112], kept.get_ifd(0x8825)[1]) == ("A camera", 1, "N")
    assert kept.get_ifd(0x8769) == {40962: 40, 40963: 60}
    assert [round(value) for value in made.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    picture().save(tmp_path / "me.png", exif=exif)
    with Image.open(tmp_path / "me.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(np.round(Photo.open(tmp_path / "me.png").pixels * 255), expected)


def test_a_malformed_tag_beside_the_orientation_costs_the_exif_data_only(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x0128] = 6, 2
    held = io.BytesIO()
    picture().save(held, "JPEG", exif=exif, quality=95)
    raw = bytearray(held.getvalue())
    raw[raw.index(bytes.fromhex("01280003")) + 3] = 2  # A number that says it is text.
    (tmp_path / "me.jpg").write_bytes(raw)
    photo = Photo.open(tmp_path / "me.jpg")
    assert photo.size == (40, 60)
    assert photo.losses == ("the photo's EXIF data is damaged, and its edit has none.",)
    save(tmp_path / "out.jpg", photo.edited(photo.pixels), original=photo.original)


@pytest.mark.parametrize("damage", ["exif", "orientation"])
def test_a_photo_whose_orientation_cannot_be_read_is_not_turned(damage):
    image = picture()
    if damage == "exif":
        image.info["exif"] = b"Exif\0\0nonsense"
    else:
        image.getexif()[0x0112] = "six"
    photo = Photo.of(image)
    np.testing.assert_array_equal(photo.original.values, np.asarray(picture()))
    assert photo.losses == ("the photo's EXIF data is damaged, and its edit has none.",)


def test_what_an_edit_loses_is_reported(tmp_path):
    png_of_16_bits(tmp_path / "deep.png", np.asarray(picture(), np.uint16) * 257)
    picture("CMYK").save(tmp_path / "print.jpg")
    picture().save(
        tmp_path / "film.gif",
        save_all=True,
        append_images=[picture().rotate(9 * i) for i in (1, 2)],
    )
    Image.fromarray(np.asarray(picture("L"), np.float32) / 255).save(tmp_path / "float.tif")
    losses = {path.name: Photo.open(path).losses for path in tmp_path.iterdir()}
    assert losses == {
        "deep.png": ("the photo has 16 bits per channel, and its edit has 8.",),
        "print.jpg": ("the photo is in CMYK, and its edit is in sRGB.",),
        "film.gif": ("the photo has 3 frames, and its edit has one.",),
        "float.tif": ("the photo has 32 bits per pixel, and its edit has 16.",),
    }
    picture().save(tmp_path / "plain.png")
    assert Photo.open(tmp_path / "plain.png").losses == ()


@pytest.mark.parametrize(
    ("chunks", "lost"),
    [
        ([(b"gAMA", [45455])], False),  # 1/2.2
        ([(b"gAMA", [47000])], True),
        ([(b"gAMA", [100_000])], True),
        ([(b"gAMA", [100_000]), (b"sRGB", [])], False),  # The gamma is for old decoders then.
        ([(b"cHRM", [31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])], False),
        ([(b"cHRM", [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000])], True),
    ],
)
def test_a_png_s_gamma_and_primaries_are_lost_unless_they_are_srgb_s(tmp_path, chunks, lost):
    extra = PngImagePlugin.PngInfo()
    for kind, numbers in chunks:
        extra.add(kind, struct.pack(f">{len(numbers)}I", *numbers) or b"\0")
    picture().save(tmp_path / "me.png", pnginfo=extra)
    losses = Photo.open(tmp_path / "me.png").losses
    assert ["gamma or its primaries" in loss for loss in losses] == [True] * lost


def test_exif_data_that_a_jpeg_cannot_hold_is_left_out(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    picture().save(tmp_path / "me.png", exif=exif)
    photo = Photo.open(tmp_path / "me.png")
    for suffix, kept in (("png", True), ("jpg", False)):
        path = tmp_path / f"out.{suffix}"
        save(path, photo.edited(photo.pixels), original=photo.original)
        with Image.open(path) as image:
            assert (0x010E in image.getexif()) == kept
        lost = ("the photo's EXIF data is too long for a JPEG file, and its edit has none.",)
        assert photo.losses_as("PNG" if kept else "JPEG") == (() if kept else lost)
    for length in (65_533, 65_534):  # A segment has two bytes for its length, which count, too.
        exif = b"Exif\0\0".ljust(length, b"\0")
        metadata = dataclasses.replace(photo.original.metadata, exif=exif)
        original = dataclasses.replace(photo.original, metadata=metadata)
        save(path, photo.edited(photo.pixels), original=original)
        with Image.open(path) as image:
            assert ("exif" in image.info) == (length == 65_533)


@pytest.mark.parametrize(
    ("dpi", "kept"),
    [
        ((72, 300), (72, 300)),
        ((65_535, 1), (65_535, 1)),
        ((72, 65_536), None),
        ((0, 72), None),
        ((72, -1), None),
        ((72, float("nan")), None),
        ((float("nan"), 72), None),
        ((72,), None),
        (("high", "low"), None),
        (None, None),
    ],
)
def test_a_resolution_is_kept_if_every_format_can_hold_it(dpi, kept):
    image = picture()
    image.info["dpi"] = dpi
    assert Photo.of(image).original.metadata.dpi == kept


def test_a_resolution_that_no_jpeg_can_hold_is_left_out(tmp_path):
    picture().save(tmp_path / "me.tif", dpi=(4e9, 4e9))
    photo = Photo.open(tmp_path / "me.tif")
    assert photo.original.metadata.dpi is None
    save(tmp_path / "out.png", photo.edited(photo.pixels), original=photo.original)


def test_a_turned_photo_s_resolution_turns_with_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(tmp_path / "me.png", exif=exif, dpi=(300, 150))
    assert [round(each) for each in Photo.open(tmp_path / "me.png").original.metadata.dpi] == [
        150,
        300,
    ]


def test_the_exif_data_of_a_tiff_file_has_nothing_about_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    picture().save(tmp_path / "me.tif", exif=exif, compression="tiff_lzw")
    made = edit_file(tmp_path / "me.tif", tmp_path / "out.png")
    assert set(made.getexif()) - {0x011A, 0x011B, 0x0128} == {0x010F}


def test_of_a_tiff_file_s_tags_those_about_its_pixels_are_left_out_and_the_others_kept():
    names = [
        "NewSubfileType",
        "SubfileType",
        "ImageWidth",
        "ImageLength",
        "BitsPerSample",
        "Compression",
        "PhotometricInterpretation",
        "FillOrder",
        "StripOffsets",
        "SamplesPerPixel",
        "RowsPerStrip",
        "StripByteCounts",
        "MinSampleValue",
        "MaxSampleValue",
        "PlanarConfiguration",
        "TileWidth",
        "TileLength",
        "TileOffsets",
        "TileByteCounts",
        "ExtraSamples",
        "SampleFormat",
    ]
    pixels = {tag for tag, info in TiffTags.TAGS_V2.items() if info.name in names}
    assert len(pixels) == len(names)
    image = picture()
    image.format = "TIFF"
    image.getexif().update(dict.fromkeys((269, 270, 271, 272, 305, 306, 315, 316, 33432), "text"))
    image.getexif().update(dict.fromkeys((*pixels, 265, 282, 283, 296, 301, 318, 34675), 1))
    kept = Image.Exif()
    kept.load(Original.of(image)[0].metadata.exif)
    assert set(image.getexif()) - set(kept) == pixels | {34675}


def jpeg_segment(number, data):
    return bytes([0xFF, number]) + struct.pack(">H", len(data) + 2) + data


def encoded(format, **options):
    held = io.BytesIO()
    picture().save(held, format, **options)
    return held.getvalue()


def with_chunk(kind, data):
    png = encoded("PNG")
    return png[:33] + png_chunk(kind, data) + png[33:]  # It follows the header.


def with_segment(number, data):
    jpeg = encoded("JPEG")
    return jpeg[:2] + jpeg_segment(number, data) + jpeg[2:]


def with_bytes(format, after, new):
    """Returns a file in which the bytes after some others are replaced."""
    data = encoded(format)
    at = data.index(after) + len(after)
    return data[:at] + new + data[at + len(new) :]


SIZES = struct.pack(">HHIIIIIIIIH", 47, 0, 60, 40, 0, 0, 60, 40, 0, 0, 3)
GAIN_MAP = b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
TITLE = b"8BIM\x04\x04\0\0\0\0\0\x0a\x1c\x02\x05\0\x05title"


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (lambda: with_chunk(b"cICP", b"\x09\x10\0\1"), "states its gamma or its primaries"),
        (lambda: with_chunk(b"caBX", b"jumb"), "has other data (caBX)"),
        (lambda: with_chunk(b"pHYs", b"\0\0\0\2\0\0\0\1\0"), "pixels aren't square"),
        (lambda: with_segment(0xEB, b"JP\0\1jumb"), "has other data (APP11)"),
        (lambda: with_segment(0xED, b"Photoshop 3.0\0" + TITLE), "has IPTC data"),
        (lambda: encoded("JPEG", xmp=GAIN_MAP), "XMP data describes further data"),
        (lambda: encoded("JPEG", xmp=b"\xff"), "XMP data is damaged"),
        (lambda: b"P6 1 1 1023\n" + bytes(6), "has 10 bits per channel, and its edit has 8."),
        (lambda: with_bytes("JPEG2000", b"\xff\x4f\xff\x51" + SIZES, b"\x0b"), "has 12 bits per"),
        (lambda: with_bytes("AVIF", b"colrnclx", b"\0\x09\0\x10"), "states its gamma or its"),
    ],
)
def test_what_pillow_does_not_tell_is_reported_too(tmp_path, make, loss):
    (tmp_path / "me").write_bytes(make())
    (found,) = Photo.open(tmp_path / "me").losses
    assert loss in found


@pytest.mark.parametrize("codes", [b"\1\x0d", b"\2\2", b"\1\6"])
def test_codes_of_colours_like_srgb_s_are_no_loss(tmp_path, codes):
    (tmp_path / "me.png").write_bytes(with_chunk(b"cICP", codes + b"\0\1"))
    assert Photo.open(tmp_path / "me.png").losses == ()


@pytest.mark.parametrize(("flags", "losses"), [(0x0C, 0), (0x4C, 1), (0x6C, 1)])
def test_avif_files_of_more_than_8_bits_are_told_by_their_header(flags, losses):
    image = picture()
    image.format, image.fp = "AVIF", io.BytesIO(b"....av1C\x81\0" + bytes([flags]))
    assert len(coding_losses(image, image.fp.getvalue())) == losses


XMP = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/>'


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_xmp_data_a_text_and_a_comment_are_kept(tmp_path, suffix):
    path = tmp_path / f"me.{suffix}"
    if suffix == "png":
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("Author", "Ann")
        chunks.add_itxt("Über", "日本", "ja")
        chunks.add_itxt("XML:com.adobe.xmp", (XMP % 6).decode())
        picture().save(path, pnginfo=chunks)
    elif suffix == "tif":
        picture().save(path, tiffinfo={700: XMP % 6})
    else:
        picture().save(path, xmp=XMP % 6, comment="hello")
    made = edit_file(path, tmp_path / ("out.jpg" if suffix == "jpg" else "out.png"))
    assert Photo.open(path).losses == ()
    # The edit is upright. Pillow has turned a TIFF file already, and says so.
    assert made.size == (40, 60)
    assert made.info["xmp"] in (XMP % 1, XMP.replace(b'tiff:Orientation="%d"', b""))
    assert made.info.get("comment") == (b"hello" if suffix == "jpg" else None)
    texts = {"Author": "Ann", "Über": "日本"} if suffix == "png" else {}
    assert {name: made.info.get(name) for name in texts} == texts


def test_what_a_program_has_put_in_the_place_of_a_comment_or_a_profile_is_left_out(tmp_path):
    image = picture()
    image.info |= {"comment": None, "icc_profile": "sRGB"}
    photo = Photo.of(image)
    save(tmp_path / "me.png", photo.edited(photo.pixels), original=photo.original)
    with Image.open(tmp_path / "me.png") as made:
        assert made.info == {}
