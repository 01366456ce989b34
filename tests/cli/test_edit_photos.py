import numpy as np
import pytest
from commands import fails, succeeds
from edit_options import OPTIONS, STRONG
from PIL import Image

from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")


def test_a_jpeg_gives_a_jpeg(photo, vector_file, tmp_path):
    with Image.open(photo) as picture:
        picture.save(tmp_path / "me.jpg")
    succeeds("edit", tmp_path / "me.jpg", vector_file, "-o", tmp_path / "out", *OPTIONS)
    with Image.open(tmp_path / "out" / "alpha-1.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (120, 140))


def truncated(path):
    Image.new("RGB", (200, 200), "red").save(path, quality=95)
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("absent.jpg", lambda path: None, "doesn't exist"),
        ("folder.jpg", lambda path: path.mkdir(), "is a folder without photos"),
        ("empty.jpg", lambda path: path.write_bytes(b""), "is empty"),
        ("page.jpg", lambda path: path.write_text("<html>"), "isn't an image"),
        ("cut.jpg", truncated, "damaged"),
        ("dot.png", lambda path: Image.new("RGB", (1, 1)).save(path), "the face is 1 × 1 pixels"),
        ("vast.png", lambda path: Image.new("1", (20000, 20000)).save(path), "100 megapixels"),
    ],
)
def test_a_photo_that_cannot_be_edited_is_one_sentence(tmp_path, name, make, sentence):
    make(tmp_path / name)
    options = ["--face", "whole", "-o", tmp_path / "out"]
    assert sentence in fails("edit", tmp_path / name, "eyeglasses", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_a_photo_of_any_mode_is_edited_and_stays_grey_if_it_is(photo, vector_file, tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    with Image.open(photo) as picture:
        if mode == "I;16":
            Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257).save(path)
        else:
            picture.convert(mode).save(path)
    succeeds("edit", path, vector_file, "-o", tmp_path / "out", *STRONG)
    edited = read(tmp_path / "out" / "alpha-30.png")
    assert edited.shape == read(path).shape == (140, 120, 3)
    assert (np.ptp(edited, axis=-1).max() == 0) == (mode in ("L", "I;16"))
    assert np.abs(edited - read(path)).max() > 0.02


def test_a_rotated_photo_is_edited_upright(photo, vector_file, tmp_path):
    path = tmp_path / "rotated.jpg"
    with Image.open(photo) as picture:
        exif = picture.getexif()
        exif[274] = 6
        picture.save(path, exif=exif)
    succeeds("edit", path, vector_file, "-o", tmp_path / "out", *OPTIONS)
    assert read(tmp_path / "out" / "alpha-1.jpg").shape == (120, 140, 3)


def test_a_face_is_detected_by_default(photo, monkeypatch):
    pytest.importorskip("dlib")
    monkeypatch.setattr("dfi_jax.photo.faces.installed", lambda: True)
    assert "no face was detected" in fails("edit", photo, "eyeglasses")


def test_without_the_extra_a_face_isn_t_guessed(photo):
    sentence = fails("edit", photo, "eyeglasses")
    assert "faces" in sentence
    assert "whole" in sentence
