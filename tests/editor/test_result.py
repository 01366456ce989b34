import json

import numpy as np
import pytest
from PIL import Image
from small_edits import BOX, make_editor

from dfi_jax import FileError
from dfi_jax.photo.photo import read


def test_what_is_saved_is_what_was_edited(random_vgg, vector, photo, tmp_path):
    edit = make_editor(random_vgg).edit(photo, vector, alphas=[0.2, -0.5], face="whole")
    folder = tmp_path / "deep" / "results"
    written = edit.save(folder)
    assert sorted(folder.iterdir()) == sorted(written)
    assert [path.name for path in written] == [
        "alpha-0.2.png",
        "alpha--0.5.png",
        "sheet.png",
        "loss.png",
        "result.json",
    ]
    for path in written[:-1]:
        with Image.open(path) as picture:
            picture.load()
    saved = read(folder / "alpha-0.2.png")
    np.testing.assert_allclose(saved, edit.pixels[0], atol=0.5 / 255 + 1e-6)
    assert json.loads(written[-1].read_text()) == json.loads(json.dumps(edit.record))


def test_a_console_shows_an_edit_without_its_pixels(random_vgg, vector, photo):
    edit = make_editor(random_vgg).edit(photo, vector, face="whole")
    assert edit.photo.name in repr(edit)
    assert len(repr(edit)) < 600


def test_an_earlier_record_is_not_taken_for_that_of_new_photos(
    random_vgg, vector, pixels, tmp_path, monkeypatch
):
    edit = make_editor(random_vgg).edit(pixels, vector, face=BOX)
    (tmp_path / "result.json").write_text("{}")
    monkeypatch.setattr("dfi_jax.editor.result.draw_loss_curves", interrupt)
    with pytest.raises(KeyboardInterrupt):
        edit.save(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["alpha-1.png"]
    (tmp_path / "result.json").mkdir()
    with pytest.raises(FileError, match=r"result\.json can't be replaced"):
        edit.save(tmp_path, overwrite=True)


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_jpeg_gives_jpegs(random_vgg, vector, photo, tmp_path):
    with Image.open(photo) as picture:
        picture.save(tmp_path / "me.jpeg")
    edit = make_editor(random_vgg).edit(tmp_path / "me.jpeg", vector, face="whole")
    edit.save(tmp_path / "out")
    with Image.open(tmp_path / "out" / "alpha-1.jpg") as picture:
        assert picture.format == "JPEG"


def test_a_folder_with_files_is_only_written_to_if_told(random_vgg, vector, pixels, tmp_path):
    edit = make_editor(random_vgg).edit(pixels, vector, face=BOX)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="already holds files"):
        edit.save(tmp_path)
    edit.save(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(FileError, match="is a file; choose a folder"):
        edit.save(tmp_path / "notes.txt", overwrite=True)
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "x" * 300, "notes.txt/out"):
        with pytest.raises(FileError, match=r"can't be written to \(.*; choose another folder or"):
            edit.save(tmp_path / name, overwrite=True)
