import hashlib
import inspect
import io
import os
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfi_jax.errors import FileError, InputError
from dfi_jax.photo.image import to_bytes
from dfi_jax.photo.photo import Photo, _decoding, read, to_pil, write

COPYRIGHT = 0x8298
"""Number of the EXIF tag that names a photo's owner. A TIFF has it after all tags of its pixels."""


def gradient(height=40, width=60):
    y, x = np.mgrid[:height, :width]
    channels = [x / (width - 1), y / (height - 1), (x + y) / (width + height - 2)]
    return np.stack(channels, axis=-1).astype(np.float32)


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return read(tmp_path / name)


def test_a_png_comes_back_to_half_a_grey_level(tmp_path):
    write(tmp_path / "a.png", gradient())
    np.testing.assert_allclose(read(tmp_path / "a.png"), gradient(), atol=0.5001 / 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "A.JPG"])
def test_a_jpeg_is_written_with_full_resolution_of_colours(tmp_path, name):
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::2, 0] = 1  # Subsampled colours would mix the red and black columns.
    write(tmp_path / name, stripes)
    with Image.open(tmp_path / name) as image:
        assert image.format == "JPEG"
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}
        expected = io.BytesIO()
        to_pil(stripes).save(expected, format="JPEG", quality=95, subsampling=0)
        with Image.open(expected) as reference:
            assert image.quantization == reference.quantization
    np.testing.assert_allclose(read(tmp_path / name), stripes, atol=8 / 255)


@pytest.mark.parametrize("name", ["a.gif", "a", "a.jpg.txt"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"has the suffix '.*'; give a path that ends in \.png"):
        write(tmp_path / name, gradient())
    assert list(tmp_path.iterdir()) == []


def test_a_pillow_image_holds_the_rounded_pixels():
    np.testing.assert_array_equal(np.asarray(to_pil(gradient())), to_bytes(gradient()))


def test_every_mode_becomes_rgb(tmp_path):
    colour = to_pil(gradient())
    grey = np.asarray(colour.convert("L"), np.float32)[..., None] / 255
    expected = np.broadcast_to(grey, (40, 60, 3))
    np.testing.assert_allclose(saved(tmp_path, colour.convert("L")), expected, atol=1e-6)
    deep = Image.fromarray((grey[..., 0] * 65535).astype(np.uint16))
    np.testing.assert_allclose(saved(tmp_path, deep), expected, atol=1e-4)
    palette = colour.quantize(256)
    expected = np.asarray(palette.convert("RGB")) / 255
    np.testing.assert_allclose(saved(tmp_path, palette), expected, atol=1e-6)
    cmyk = colour.convert("CMYK")
    np.testing.assert_allclose(saved(tmp_path, cmyk, "a.tif"), np.asarray(colour) / 255, atol=1e-6)
    # JPEG keeps colours to a few grey levels.
    np.testing.assert_allclose(saved(tmp_path, cmyk, "a.jpg", quality=95), gradient(), atol=3 / 255)
    one_bit = saved(tmp_path, colour.convert("1"))
    assert set(np.unique(one_bit)) == {0.0, 1.0}


def half_transparent():
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 20, 40))
    return image


def turned():
    """An image with a white stripe along its top as stored, and EXIF that turns it clockwise."""
    image = Image.new("RGB", (60, 40), "black")
    image.paste("white", (0, 0, 60, 5))
    exif = Image.Exif()
    exif[0x0112] = 6
    return image, exif


def test_transparent_parts_become_white(tmp_path):
    pixels = saved(tmp_path, half_transparent())
    assert pixels[0, 0].tolist() == [1, 0, 0]
    assert pixels[0, 30].tolist() == [1, 1, 1]


def test_the_exif_rotation_is_applied(tmp_path):
    image, exif = turned()
    pixels = saved(tmp_path, image, "a.jpg", exif=exif)
    assert pixels.shape == (60, 40, 3)
    assert pixels[:, -3].min() > 0.9
    assert pixels[:, 0].max() < 0.1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "isn't an image"),
        (b"\x89PNG\r\n\x1a\n", "isn't an image|can't be read"),
    ],
)
def test_a_file_that_is_no_image_is_refused(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FileError, match=message):
        Photo.open(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_truncated_image_is_refused(tmp_path, name):
    write(tmp_path / name, gradient(200, 200))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="damaged or cut short"):
        Photo.open(tmp_path / name)
    with Image.open(tmp_path / name) as image, pytest.raises(FileError, match="damaged or cut"):
        Photo.of(image)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileError, match="doesn't exist; check the path"):
        Photo.open(tmp_path / "absent.png")
    with pytest.raises(FileError, match="is a folder; give a file"):
        Photo.open(tmp_path)


def test_what_is_not_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, problem in (("pipe", "is a pipe or a device"), ("loop", "can't be read")):
        with pytest.raises(FileError, match=problem):
            Photo.open(tmp_path / f"{name}.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path):
    write(tmp_path / "a.png", gradient())
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(FileError, match="check its permissions"):
        Photo.open(tmp_path / "a.png")


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_an_image_of_too_many_pixels_is_refused_unread(tmp_path, side):
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    with pytest.raises(FileError, match="has more than 100 megapixels; make it smaller first"):
        Photo.open(tmp_path / "a.png")


def test_an_interrupted_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write(path, gradient())
    before = path.read_bytes()

    def save(self, target, **options):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(KeyboardInterrupt):
        write(path, gradient() / 2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_an_encoder_is_that_photo_s_failure(tmp_path, monkeypatch):
    def save(self, target, **options):
        raise ValueError("too many tables")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(FileError, match=r"a.png can't be written \(too many tables\); give"):
        write(tmp_path / "a.png", gradient())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="can't be written"):
        write(tmp_path / "file" / "a.png", gradient())


def test_a_photo_knows_its_file(tmp_path):
    path = tmp_path / "me.at.home.jpg"
    write(path, gradient())
    photo = Photo.open(str(path))
    assert (photo.name, photo.stem, photo.path) == ("me.at.home.jpg", "me.at.home", path)
    assert (photo.size, photo.format, photo.suffix) == ((60, 40), "JPEG", ".jpg")
    assert photo.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(photo.pixels, read(path))


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "me.png", gradient())
    assert Photo.of("~/me.png").path == tmp_path / "me.png"


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_edits_of_other_files_than_jpeg_are_written_as_png(tmp_path, format):
    # The contents decide, not the name.
    to_pil(gradient()).save(tmp_path / "me.jpg", format=format)
    photo = Photo.open(tmp_path / "me.jpg")
    assert (photo.format, photo.suffix) == ("PNG", ".png")


def test_edits_of_a_phone_s_multi_picture_file_are_written_as_jpeg(tmp_path):
    image = to_pil(gradient())
    image.save(tmp_path / "me.jpg", format="MPO", save_all=True, append_images=[image])
    assert Photo.open(tmp_path / "me.jpg").format == "JPEG"


def test_a_photo_is_the_same_from_every_kind_of_input(tmp_path):
    path = tmp_path / "me.png"
    to_pil(gradient()).save(path)
    opened = Photo.open(path)
    with Image.open(path) as image:
        inputs = [str(path), path, image, opened]
        inputs += [np.asarray(image), np.asarray(image).astype(np.uint16) * 257]
        inputs += [opened.pixels, opened.pixels.astype(np.float64)]
        photos = [Photo.of(photo) for photo in inputs]
    assert Photo.of(opened) is opened
    for photo in photos:
        assert photo.pixels.dtype == np.float32
        np.testing.assert_array_equal(photo.pixels, opened.pixels)
    assert {photo.sha256 for photo in photos[:2]} == {opened.sha256}
    (digest,) = {photo.sha256 for photo in photos[4:]}
    assert digest not in (opened.sha256, Photo.of(gradient(60, 40)).sha256)
    assert [(photo.name, photo.path, photo.format) for photo in photos[4:]] == [
        ("photo", None, "PNG")
    ] * 4


def test_the_hash_of_an_array_depends_on_its_shape():
    flat = np.zeros((40, 60), np.uint8)
    assert Photo.of(flat).sha256 != Photo.of(flat.T).sha256


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_greyscale_array_is_the_same_as_its_file(tmp_path, dtype):
    levels = np.round(gradient()[..., 2] * 255)
    scale = {np.uint8: 1, np.uint16: 257, np.float32: np.float32(1 / 255)}[dtype]
    array = levels.astype(dtype) * dtype(scale)
    photo = Photo.of(array)
    assert photo.pixels.shape == (40, 60, 3)
    np.testing.assert_allclose(photo.pixels, np.repeat(levels[..., None] / 255, 3, axis=2), 1e-6)
    if dtype != np.float32:
        expected = saved(tmp_path, Image.fromarray(array))
        np.testing.assert_array_equal(photo.pixels, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_a_pillow_image_is_the_same_as_its_file(tmp_path, mode):
    if mode == "RGBA":
        image = half_transparent()
    elif mode in ("I;16", "I"):
        image = Image.fromarray(np.round(gradient()[..., 2] * 65535).astype(np.uint16))
        image = image.convert("I") if mode == "I" else image
    elif mode == "F":
        image = Image.fromarray(gradient()[..., 2])
    else:
        image = to_pil(gradient()).convert(mode)
    pixels = saved(tmp_path, image, "a.tiff" if mode in ("CMYK", "I", "F") else "a.png")
    np.testing.assert_array_equal(Photo.of(image).pixels, pixels)


def test_an_opened_pillow_image_is_turned_as_its_file_is(tmp_path):
    image, exif = turned()
    expected = saved(tmp_path, image, "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        photo = Photo.of(image)
    assert (photo.size, photo.format) == ((40, 60), "JPEG")
    np.testing.assert_array_equal(photo.pixels, expected)


def test_a_photo_doesn_t_change_with_the_array_that_it_was_made_from():
    array = gradient()
    photo = Photo.of(array)
    array[:] = 0
    np.testing.assert_array_equal(photo.pixels, gradient())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((40, 60, 4), np.uint8), r"shape \(40, 60, 4\); give \(height, width, 3\)"),
        (np.zeros((1, 40, 60, 3), np.float32), r"shape \(1, 40, 60, 3\)"),
        (np.zeros(40, np.float32), r"shape \(40,\)"),
        (np.zeros((0, 60, 3), np.float32), r"shape \(0, 60, 3\)"),
        (np.zeros((40, 60, 3), np.int64), "of type int64; give uint8, uint16 or floats"),
        (np.zeros((40, 60, 3), bool), "of type bool"),
        (np.zeros((40, 60, 3), complex), "of type complex128"),
        (np.full((40, 60, 3), np.nan), "aren't finite"),
        (np.full((40, 60, 3), np.inf), "aren't finite"),
        (np.full((40, 60, 3), 255.0), r"from 255 to 255; give floats in \[0, 1\]"),
        (np.full((40, 60, 3), -0.5), "from -0.5 to -0.5"),
    ],
)
def test_an_array_that_is_no_photo_is_refused_in_one_sentence(array, message):
    with pytest.raises(InputError, match=message) as caught:
        Photo.of(array)
    assert str(caught.value).count(". ") == 0


def test_an_array_of_jax_is_a_photo():
    pixels = np.linspace(0, 1, 40 * 60 * 3, dtype=np.float32)
    photo = Photo.of(jnp.asarray(pixels).reshape(40, 60, 3))
    np.testing.assert_array_equal(photo.pixels.ravel(), pixels)


def test_an_array_that_numpy_cannot_read_is_refused():
    class OnAnotherDevice:
        def __array__(self):
            raise TypeError("copy it to the host first")

    with pytest.raises(InputError, match=r"NumPy can't read \(copy it to the host first\); give"):
        Photo.of(OnAnotherDevice())


@pytest.mark.parametrize("photo", [None, b"me.jpg", [[0.0]]])
def test_what_is_no_photo_at_all_is_refused(photo):
    of = inspect.unwrap(Photo.of.__func__)  # The tests' type checks would come first.
    with pytest.raises(InputError, match="give a path, a Pillow image or an array"):
        of(Photo, photo)


def test_an_array_of_more_than_100_megapixels_is_refused():
    with pytest.raises(FileError, match="has more than 100 megapixels"):
        Photo.of(np.broadcast_to(np.uint8(0), (17, 5_882_353)))  # One pixel more.
    with pytest.raises(FileError, match="has more than 100 megapixels"):
        Photo.of(np.broadcast_to(np.uint8(0), (10_001, 10_000, 3)))
    with pytest.raises(InputError, match="of type int64"):  # Its size is fine.
        Photo.of(np.broadcast_to(np.int64(0), (10_000, 10_000)))


def test_damaged_exif_data_is_no_reason_to_reject_a_photo_or_to_warn(tmp_path):
    path = tmp_path / "me.tif"
    exif = Image.Exif()
    exif[COPYRIGHT] = "owner of the photo"
    Image.new("RGB", (40, 60)).save(path, exif=exif.tobytes())
    content = path.read_bytes()
    tag = COPYRIGHT.to_bytes(2, "little") + b"\2\0"
    assert content.count(tag) == 1
    place = content.index(tag) + len(tag)
    path.write_bytes(content[:place] + b"\xff\xff\xff\7" + content[place + 4 :])
    said = "Tag data larger than file|Truncated File Read"  # By Pillow 13, and by 11.3.
    with pytest.warns(UserWarning, match=said), Image.open(path) as image:
        image.load()
    assert Photo.open(path).size == (40, 60)  # In tests, a warning would be an error.


def test_filters_of_warnings_stay_as_they_are_if_two_threads_decode_at_once():
    before = list(warnings.filters)
    first, second = _decoding("first"), _decoding("second")
    for begun in (first, second):
        begun.__enter__()
    for ended in (first, second):
        ended.__exit__(None, None, None)
    assert warnings.filters == before
