import numpy as np
from PIL import Image

from dfi_jax.report import CELL, contact_sheet, write_loss_curves


def test_a_sheet_shows_every_image_below_its_label():
    colours = np.eye(3, dtype=np.float32)
    images = [np.broadcast_to(colour, (20, 10, 3)).copy() for colour in colours]
    sheet = contact_sheet(images, ["original", "α = 0.2", "α = 0.4"], columns=2)
    assert sheet.dtype == np.float32
    for colour in colours:
        assert (np.abs(sheet - colour).max(axis=-1) == 0).sum() == CELL * CELL // 2
    middles = [sheet[200, 80], sheet[200, 240], sheet[540, 80]]
    np.testing.assert_array_equal(middles, colours)
    for x in (83, 241):  # dark letters on white above the first row's images
        label = sheet[8:36, x - 30 : x + 30]
        assert label.min() < 0.3


def test_loss_curves_are_a_picture(tmp_path):
    write_loss_curves(tmp_path / "loss.png", np.geomspace(1, 0.01, 40).reshape(2, 20)[:, ::1], ["α = 0.1", "α = 0.2"])
    with Image.open(tmp_path / "loss.png") as picture:
        picture.load()
        assert picture.size == (960, 600)
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]
