import numpy as np
import pytest
from PIL import Image

from dfi_jax.errors import InputError
from dfi_jax.report.sheet import CELL, contact_sheet


def test_a_sheet_shows_every_image_below_its_label():
    colours = np.eye(3, dtype=np.float32)
    images = [np.broadcast_to(colour, (20, 10, 3)).copy() for colour in colours]
    drawn = contact_sheet(images, ["original", "α = 0.2", "α = 0.4"], columns=2)
    assert isinstance(drawn, Image.Image)
    assert drawn.mode == "RGB"
    sheet = np.asarray(drawn, np.float32) / 255
    for colour in colours:
        assert (np.abs(sheet - colour).max(axis=-1) == 0).sum() == CELL * CELL // 2
    middles = [sheet[200, 80], sheet[200, 240], sheet[540, 80]]
    np.testing.assert_array_equal(middles, colours)
    for x in (83, 241):  # Labels are dark on white, above the images.
        label = sheet[8:36, x - 30 : x + 30]
        assert label.min() < 0.3


def test_all_images_are_in_one_row_by_default():
    image = np.zeros((20, 10, 3), np.float32)
    one, three = (contact_sheet([image] * n, ["x"] * n) for n in (1, 3))
    assert one.height == three.height
    assert three.width - one.width == 2 * (CELL // 2 + 8)


def test_a_sheet_of_a_strip_is_not_much_larger_than_the_strip():
    wide, high = (np.zeros(shape, np.float32) for shape in ((32, 99_999, 3), (99_999, 32, 3)))
    assert contact_sheet([wide] * 2, ["a", "b"]).size == (2 * 3008 + 8, 1 + 38 + 8)
    assert contact_sheet([high] * 2, ["a", "b"]).size == (2 * 9 + 8, CELL + 38 + 8)


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        ([], [], {}, "0 images and 0 labels; give at least one image"),
        ([np.zeros((9, 9, 3))], [], {}, "1 images and 0 labels"),
        ([np.zeros((9, 9, 3)), np.zeros((9, 8, 3))], ["a", "b"], {}, "different shapes"),
        ([np.zeros((9, 9, 3))], ["a"], {"columns": 0}, "0 columns; give 1 or more"),
    ],
)
def test_a_sheet_that_cannot_be_drawn_is_refused(images, labels, options, message):
    with pytest.raises(InputError, match=message):
        contact_sheet(images, labels, **options)
