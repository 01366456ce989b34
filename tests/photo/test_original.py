import functools
import io
import struct

import numpy as np
import pytest
from pictures import BOX, brighter, edit_file, picture, png_of_16_bits
from PIL import Image, ImageCms

from dfi_jax.errors import FileError
from dfi_jax.photo.image import to_bytes
from dfi_jax.photo.photo import Photo, save


def outside(image):
    values = np.asarray(image).copy()
    values[BOX] = 0
    return values


@functools.cache  # Profiles hold the time at which they were made.
def display_p3():
    """Pillow's profile of sRGB with the primaries of Display P3 in its place, and its name."""
    raw = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    raw = raw.replace(b"s\0R\0G\0B", b"w\0i\0d\0e").replace(b"sRGB built-in", b"wide built-in")
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for i in range(struct.unpack(">I", raw[128:132])[0]):
        tag, at, _ = struct.unpack(">4sII", raw[132 + 12 * i : 144 + 12 * i])
        if tag in primaries:
            fixed = [round(value * 65536) for value in primaries[tag]]
            raw[at + 8 : at + 20] = struct.pack(">3i", *fixed)
    return bytes(raw)


def linear_grey():
    """A grey profile without a tone curve."""
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    head = struct.pack(">8xI4s4s4s12x4s28x", 0x2100000, b"mntr", b"GRAY", b"XYZ ", b"acsp") + white
    tags = {b"wtpt": b"XYZ ".ljust(8, b"\0") + white, b"kTRC": b"curv".ljust(12, b"\0")}
    place, table, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(data), len(content))
        data += content
    profile = head.ljust(128, b"\0") + table + data
    return struct.pack(">I", len(profile)) + profile[4:]


def as_viewed(image):
    """An image as a viewer shows it that honours its profile, in sRGB."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    srgb = ImageCms.createProfile("sRGB")
    return np.asarray(ImageCms.profileToProfile(image.convert("RGB"), profile, srgb), float)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_an_edit_keeps_the_channels_and_all_numbers_where_nothing_changed(tmp_path, mode):
    image = picture(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "me.png")
    made = edit_file(tmp_path / "me.png", tmp_path / "out.png")
    assert made.mode == mode
    np.testing.assert_array_equal(outside(made), outside(image))
    before, after = (Photo.of(each).pixels[BOX] for each in (image, made))
    # Where the colour would leave the range, it is clipped.
    assert (after - before).max() == pytest.approx(0.2, abs=2 / 255)
    assert (after - before).min() >= -1 / 255


def test_an_edit_changes_each_channel_by_its_own_amount():
    photo = Photo.of(picture())
    after = np.clip(photo.pixels + np.array([0.2, 0.0, -0.1], np.float32), 0, 1)
    made = np.asarray(photo.edited(after), np.float32)
    np.testing.assert_allclose(made, to_bytes(after), atol=1)  # Halves are rounded either way.


def test_a_profile_is_kept_and_its_colours_are_converted_for_the_network(tmp_path):
    image = picture()
    image.save(tmp_path / "me.png", icc_profile=display_p3())
    photo = Photo.open(tmp_path / "me.png")
    with Image.open(tmp_path / "me.png") as opened:
        viewed = as_viewed(opened)
    np.testing.assert_allclose(photo.pixels * 255, viewed, atol=1)
    assert np.abs(photo.pixels * 255 - np.asarray(image)).max() > 20  # Not the file's numbers.
    made = edit_file(tmp_path / "me.png", tmp_path / "out.png")
    assert made.info["icc_profile"] == display_p3()
    np.testing.assert_array_equal(outside(made), outside(image))
    # A viewer shows the rectangle as it was edited, but for colours that sRGB can't show.
    expected = brighter(photo.pixels)[BOX] * 255
    inside = (photo.pixels[BOX].min(axis=-1) > 0.05) & (photo.pixels[BOX].max(axis=-1) < 0.75)
    np.testing.assert_allclose(as_viewed(made)[BOX][inside], expected[inside], atol=3)


def test_the_profile_of_an_image_in_ycbcr_is_that_of_its_rgb():
    # Pillow 11 can't read the TIFF files of this mode that it writes.
    coded = picture("YCbCr")
    coded.info["icc_profile"] = display_p3()
    photo, plain = Photo.of(coded), Photo.of(coded.convert("RGB"))
    np.testing.assert_array_equal(photo.pixels, plain.pixels)
    assert photo.original.profile == display_p3()


def test_a_profile_of_srgb_leaves_the_numbers_as_they_are(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save(tmp_path / "me.png", icc_profile=profile)
    seen = Photo.open(tmp_path / "me.png").pixels
    np.testing.assert_array_equal(np.round(seen * 255), np.asarray(picture()))


# Bytes that hold the time would give the tests of each process other names.
@pytest.mark.parametrize("end", [0, 200])
def test_a_damaged_profile_is_kept_and_otherwise_ignored(tmp_path, end):
    profile = display_p3()[:end] or b"nonsense"
    picture().save(tmp_path / "me.png", icc_profile=profile)
    made = edit_file(tmp_path / "me.png", tmp_path / "out.png")
    assert made.info["icc_profile"] == profile
    np.testing.assert_array_equal(outside(made), outside(picture()))


def test_16_bits_of_grey_are_kept(tmp_path):
    deep = (np.asarray(picture("L"), np.uint16) * 257) + 100
    Image.fromarray(deep).save(tmp_path / "me.png")
    made = edit_file(tmp_path / "me.png", tmp_path / "out.png")
    assert made.mode == "I;16"
    np.testing.assert_array_equal(outside(made), outside(Image.fromarray(deep)))


def tiff_of_12_bits(values):
    """A TIFF file of 12-bit grey, which Pillow can't write."""
    height, width = values.shape
    even, odd = values.reshape(-1, 2).T
    data = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=-1).astype(np.uint8)
    sizes = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 122, 277: 1, 278: height}
    tags = sizes | {279: data.size}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data.tobytes()


def test_grey_tiff_files_of_more_than_8_bits_are_scaled_by_their_type(tmp_path):
    values = np.linspace(0, 4095, 48).astype(np.uint16).reshape(6, 8)
    (tmp_path / "12.tif").write_bytes(tiff_of_12_bits(values))
    negative = Image.fromarray(65_535 - values * 16)
    negative.save(tmp_path / "negative.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "negative.tif") as image:
        assert image.tag_v2[262] == 0  # White is zero.
    for path in tmp_path.iterdir():
        photo = Photo.open(path)
        np.testing.assert_allclose(photo.pixels[..., 0], values / 4095, atol=3e-4)
        assert photo.losses == ()


@pytest.mark.parametrize("deep", [False, True])
def test_a_grey_profile_is_kept_and_its_greys_are_converted_for_the_network(tmp_path, deep):
    grey = np.asarray(picture("L"))
    values = grey.astype(np.uint16) * 257 if deep else grey
    Image.fromarray(values).save(tmp_path / "me.png", icc_profile=linear_grey())
    linear = grey / 255
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    pixels = Photo.open(tmp_path / "me.png").pixels
    np.testing.assert_allclose(pixels, np.repeat(srgb[..., None], 3, axis=-1), atol=1.5 / 255)
    made = edit_file(tmp_path / "me.png", tmp_path / "out.png")
    assert made.info["icc_profile"] == linear_grey()
    np.testing.assert_array_equal(outside(made), outside(Image.fromarray(values)))
    shown = Photo.open(tmp_path / "out.png").pixels
    np.testing.assert_allclose(shown[BOX], brighter(pixels)[BOX], atol=3 / 255)


def test_a_colour_of_16_bits_that_is_transparent_is_reported(tmp_path):
    # The eight upper bits of two colours are alike, and Pillow compares the eight lower ones.
    values = np.full((40, 60, 3), 0x1234, np.uint16)
    png_of_16_bits(tmp_path / "me.png", values, {b"tRNS": struct.pack(">HHH", *[0x3412] * 3)})
    photo = Photo.open(tmp_path / "me.png")
    assert photo.original.values.shape == (40, 60, 3)
    assert any("a transparent colour of 16 bits" in loss for loss in photo.losses)


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_transparent_colour_becomes_alpha(tmp_path, mode):
    image = picture(mode)
    key = image.getpixel((20, 10))
    image.save(tmp_path / "me.png", transparency=key)
    photo = Photo.open(tmp_path / "me.png")
    transparent = (np.asarray(image).reshape(40, 60, -1) == key).all(axis=-1)
    np.testing.assert_array_equal(photo.original.values[..., -1] == 0, transparent)
    assert photo.pixels[transparent].min() == 1
    assert photo.original.values.shape[2] == (2 if mode == "L" else 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 7.0, -0.0011, 1.0011])
def test_floats_outside_the_range_are_refused(tmp_path, value):
    values = np.full((40, 60), 0.5, np.float32)
    values[3, 3] = value
    Image.fromarray(values).save(tmp_path / "me.tif")
    with pytest.raises(FileError, match=r"has floats from .* give one with floats in \[0, 1\]"):
        Photo.open(tmp_path / "me.tif")


def test_floats_outside_the_range_by_a_rounding_are_clipped():
    values = np.array([[-0.0009, 0.25, 1.0009]] * 2, np.float32)
    for photo in (Image.fromarray(values), values):
        seen = Photo.of(photo).pixels[0, :, 0]
        np.testing.assert_allclose(seen, [0, 0.25, 1], atol=1e-5)


def test_integers_of_32_bits_are_scaled_by_their_type(tmp_path):
    values = np.array([[0, 2**30, 2**31 - 1, -1]] * 2, np.int32)
    Image.fromarray(values).save(tmp_path / "me.tif")
    seen = Photo.open(tmp_path / "me.tif").pixels[0, :, 0]
    np.testing.assert_allclose(seen, [0, 0.5, 1, 0], atol=1e-5)
    raw = bytearray((tmp_path / "me.tif").read_bytes())
    at = raw.index(struct.pack("<HHI", 339, 3, 1)) + 8  # The tag SampleFormat: 2 is signed.
    assert raw[at] == 2
    raw[at] = 1
    (tmp_path / "me.tif").write_bytes(raw)
    photo = Photo.open(tmp_path / "me.tif")
    np.testing.assert_allclose(photo.pixels[0, :, 0], [0, 0.25, 0.5, 1], atol=1e-5)
    assert photo.losses == ("the photo has 32 bits per pixel, and its edit has 16.",)


def test_an_eps_file_is_not_opened_because_it_is_a_program(tmp_path):
    picture().save(tmp_path / "me.png", format="EPS")
    with pytest.raises(FileError, match="isn't an image that can be read"):
        Photo.open(tmp_path / "me.png")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        *[(kind, r"can't be read \(.*odd") for kind in (RuntimeError, struct.error, KeyError)],
        (MemoryError, "needs more memory than there is; make it smaller"),
    ],
)
def test_any_error_of_a_decoder_is_that_photo_s_failure(tmp_path, monkeypatch, error, reason):
    picture().save(tmp_path / "me.png")

    def load(self):
        raise error("odd")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(FileError, match=rf"me\.png {reason}"):
        Photo.open(tmp_path / "me.png")


def test_a_caller_s_image_is_not_changed():
    image, exif = picture(), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"
    held = io.BytesIO()
    image.save(held, "JPEG", exif=exif)
    with Image.open(held) as opened:
        first, second = Photo.of(opened), Photo.of(opened)
    assert first.size == second.size == (40, 60)
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_a_linear_profile_that_is_called_srgb_is_converted(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    raw = bytearray(profile.tobytes())
    at = {}
    for i in range(struct.unpack(">I", raw[128:132])[0]):
        tag, start, length = struct.unpack(">4sII", raw[132 + 12 * i : 144 + 12 * i])
        at[tag] = start, length
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        start, _ = at[tag]
        raw[start : start + 12] = b"curv" + bytes(8)  # A curve of no points is the identity.
    Image.new("RGB", (4, 4), (55, 55, 55)).save(tmp_path / "me.png", icc_profile=bytes(raw))
    seen = Photo.open(tmp_path / "me.png").pixels * 255
    linear = 55 / 255
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1.
    np.testing.assert_allclose(seen, expected, atol=1.5)


@pytest.mark.parametrize("alpha", [255, 128, 40])
def test_an_edit_of_what_shows_through_looks_as_it_was_made(alpha):
    photo = Photo.of(Image.new("RGBA", (40, 60), (100, 120, 90, alpha)))
    wanted = photo.pixels + 0.1 * alpha / 255
    edited = Photo.of(photo.edited(wanted))
    np.testing.assert_allclose(edited.pixels, wanted, atol=1.1 / 255)
    assert edited.original.values[0, 0, 3] == alpha


def test_alpha_that_was_added_to_a_jpeg_s_image_is_kept_in_a_png():
    held = io.BytesIO()
    picture().save(held, "JPEG")
    with Image.open(held) as image:
        image.putalpha(Image.new("L", image.size, 99))
        assert Photo.of(image).format == "PNG"


def test_16_bit_integers_of_every_kind_are_read_alike(tmp_path):
    half = np.full((4, 6), 32768, np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 6 4 65535\n" + half.astype(">u2").tobytes())
    Image.fromarray(half).save(tmp_path / "a.tif")
    Image.fromarray(half).save(tmp_path / "a.png")
    photos = [Photo.open(path) for path in sorted(tmp_path.iterdir())]
    photos.append(Photo.of(Image.fromarray(half.astype(np.int32))))
    for photo in photos:
        np.testing.assert_allclose(photo.pixels, 0.5, atol=1e-4)
        assert photo.losses == ()


@pytest.mark.parametrize("quality", [60, 90])
@pytest.mark.parametrize(("subsampling", "levels"), [(0, 0.05), (2, 1.2)])
def test_what_an_edit_of_a_jpeg_leaves_alone_is_encoded_as_it_was(
    tmp_path, quality, subsampling, levels
):
    noise = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    smooth = Image.fromarray(noise).resize((160, 192), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "me.jpg", quality=quality, subsampling=subsampling)
    photo = Photo.open(tmp_path / "me.jpg")
    after = photo.pixels.copy()
    after[:64, :64] = 1 - after[:64, :64]
    save(tmp_path / "edit.jpg", photo.edited(after), original=photo.original)
    changed = np.abs(Photo.open(tmp_path / "edit.jpg").pixels - photo.pixels).max(axis=2)
    assert changed[:48, :48].mean() > 0.1
    # Rounding: at quality 95 without subsampling, it would be up to twice as much or more.
    assert changed[80:].mean() <= levels / 255
    assert changed[:, 80:].mean() <= levels / 255


@pytest.mark.parametrize(("mode", "old", "new"), [("L", 0, 3), ("RGB", 1, 2)])
def test_quantisation_tables_of_a_jpeg_may_have_any_numbers(tmp_path, mode, old, new):
    out = tmp_path / "edit.jpg"
    picture(mode).save(tmp_path / "me.jpg")
    expected = edit_file(tmp_path / "me.jpg", out).quantization
    data = bytearray((tmp_path / "me.jpg").read_bytes())
    data[data.index(b"\xff\xdb\0\x43" + bytes([old])) + 4] = new
    frame = data.index(b"\xff\xc0") + 10
    for at in range(frame + 2, frame + 3 * data[frame - 1], 3):
        data[at] = new if data[at] == old else data[at]
    (tmp_path / "me.jpg").write_bytes(data)
    with Image.open(tmp_path / "me.jpg") as image:
        assert new in image.quantization
    assert edit_file(tmp_path / "me.jpg", out).quantization == expected
