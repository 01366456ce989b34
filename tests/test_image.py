import numpy as np
import pytest
from PIL import Image

from dfi_jax import image
from dfi_jax.errors import FileError, InputError


def gradient(height=40, width=60):
    y, x = np.mgrid[:height, :width]
    return np.stack([x / (width - 1), y / (height - 1), (x + y) / (width + height - 2)], axis=-1).astype(np.float32)


def test_a_png_comes_back_to_half_a_grey_level(tmp_path):
    image.write(tmp_path / "a.png", gradient())
    np.testing.assert_allclose(image.read(tmp_path / "a.png"), gradient(), atol=0.5001 / 255)


def saved(tmp_path, picture, name="a.png", **options):
    picture.save(tmp_path / name, **options)
    return image.read(tmp_path / name)


def test_every_mode_becomes_rgb(tmp_path):
    colour = Image.fromarray(image.to_bytes(gradient()))
    grey = np.asarray(colour.convert("L"), np.float32)[..., None] / 255
    np.testing.assert_allclose(saved(tmp_path, colour.convert("L")), np.broadcast_to(grey, (40, 60, 3)), atol=1e-6)
    deep = Image.fromarray((grey[..., 0] * 65535).astype(np.uint16))
    np.testing.assert_allclose(saved(tmp_path, deep), np.broadcast_to(grey, (40, 60, 3)), atol=1e-4)
    palette = colour.quantize(256)
    np.testing.assert_allclose(saved(tmp_path, palette), np.asarray(palette.convert("RGB")) / 255, atol=1e-6)
    cmyk = saved(tmp_path, colour.convert("CMYK"), "a.jpg", quality=95)
    np.testing.assert_allclose(cmyk, gradient(), atol=0.1)  # JPEG keeps colours to a few grey levels
    one_bit = saved(tmp_path, colour.convert("1"))
    assert set(np.unique(one_bit)) == {0.0, 1.0}


def test_transparency_is_laid_on_white(tmp_path):
    picture = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 20, 40))
    read = saved(tmp_path, picture)
    assert read[0, 0].tolist() == [1, 0, 0]
    assert read[0, 30].tolist() == [1, 1, 1]


def test_the_exif_rotation_is_applied(tmp_path):
    picture = Image.new("RGB", (60, 40), "black")
    picture.paste("white", (0, 0, 60, 5))  # a stripe along the top as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    read = saved(tmp_path, picture, "a.jpg", exif=exif)
    assert read.shape == (60, 40, 3)
    assert read[:, -3].min() > 0.9
    assert read[:, 0].max() < 0.1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"hello", "is not an image"), (b"\x89PNG\r\n\x1a\n", "is not an image|can't be read")],
)
def test_what_is_no_image_is_refused(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FileError, match=message):
        image.read(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_truncated_image_is_refused(tmp_path, name):
    Image.fromarray(image.to_bytes(gradient(200, 200))).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match="damaged or cut short"):
        image.read(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        image.read(tmp_path / "absent.png")
    with pytest.raises(FileError, match="is a folder"):
        image.read(tmp_path)


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_an_image_of_too_many_pixels_is_refused_unread(tmp_path, side):
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    with pytest.raises(FileError, match="has more than 100 megapixels; make it smaller first"):
        image.read(tmp_path / "a.png")


def test_a_box_outside_of_the_image_is_refused():
    assert image.crop(gradient(), (10, 5, 30, 25)).shape == (20, 20, 3)
    for box in ((0, 0, 61, 40), (-1, 0, 10, 10), (10, 10, 10, 20), (20, 0, 10, 10)):
        with pytest.raises(InputError, match="doesn't lie inside the image, which is 60 × 40 pixels"):
            image.crop(gradient(), box)


def test_resizing_a_ramp_keeps_it_a_ramp():
    ramp = np.broadcast_to((np.arange(40, dtype=np.float32) + 0.5)[None, :, None] / 40, (40, 40, 3))
    larger = image.resize(ramp, (40, 80))[0, :, 0]
    inner = slice(2, -2)  # beyond the outermost centres there is nothing to interpolate
    np.testing.assert_allclose(larger[inner], ((np.arange(80) + 0.5) / 80)[inner], atol=1e-6)


def test_an_interrupted_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    image.write(path, gradient())
    before = path.read_bytes()

    def save(self, target, **options):
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(KeyboardInterrupt):
        image.write(path, gradient() / 2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="can't be written"):
        image.write(tmp_path / "file" / "a.png", gradient())
