"""What an edit keeps of a photo's file."""

import numpy as np
import pytest
from builders import make_vector, small_recipe
from PIL import Image, ImageCms

from dfi_jax import Editor

RECIPE = small_recipe(size=32, iterations=2)
BOX = (40, 20, 100, 80)


@pytest.fixture
def transparent(tmp_path):
    """A photo with a transparent border, a colour profile, EXIF data and a resolution."""
    y, x = np.mgrid[:120, :140]
    values = np.stack([x, y, x // 2 + 40, np.where(x < 20, 0, 255)], axis=-1).astype(np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    path = tmp_path / "me.png"
    Image.fromarray(values).save(path, icc_profile=profile, exif=exif, dpi=(300, 300))
    return path


@pytest.fixture
def edit(random_vgg, transparent):
    vector = make_vector(random_vgg, RECIPE)
    editor = Editor(weights=random_vgg, recipe=RECIPE, cache=None)
    return editor.edit(transparent, vector, alphas=[30.0], face=BOX)


def test_an_edit_s_file_has_everything_that_the_photo_s_has(edit, transparent, tmp_path):
    edit.save(tmp_path / "out")
    with Image.open(transparent) as before, Image.open(tmp_path / "out/alpha-30.png") as after:
        assert after.mode == "RGBA"
        assert after.info["icc_profile"] == before.info["icc_profile"]
        assert after.getexif()[0x010F] == "A camera"
        assert after.info["dpi"] == before.info["dpi"]
        changed = (np.asarray(before) != np.asarray(after)).any(axis=-1)
        np.testing.assert_array_equal(np.asarray(before)[..., 3], np.asarray(after)[..., 3])
    assert changed[20:80, 40:100].any()
    changed[20:80, 40:100] = False
    assert not changed.any()
    assert edit.photos[0].mode == "RGBA"


def test_a_crop_is_an_image_of_its_own(random_vgg, transparent, tmp_path):
    recipe = RECIPE.replace(finish=())
    editor = Editor(weights=random_vgg, recipe=recipe, cache=None)
    edit = editor.edit(transparent, make_vector(random_vgg, recipe), alphas=[0.1], face=BOX)
    edit.save(tmp_path / "out")
    with Image.open(tmp_path / "out/alpha-0.1.png") as crop:
        assert (crop.mode, crop.size) == ("RGB", (32, 32))
        assert not crop.getexif()


def test_what_an_edit_does_not_keep_is_in_its_record(random_vgg, tmp_path):
    frames = [Image.new("RGB", (60, 60), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    editor = Editor(weights=random_vgg, recipe=RECIPE, cache=None)
    vector = make_vector(random_vgg, RECIPE)
    edit = editor.edit(tmp_path / "film.gif", vector, alphas=[0.1], face="whole")
    assert "2 frames" in " ".join(edit.record["warnings"])
