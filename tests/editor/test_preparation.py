import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe
from small_edits import BOX, RECIPE, make_editor

from dfi_jax import Recipe, make_problem, reconstruct
from dfi_jax.photo.image import resize


def test_a_margin_is_edited_too_and_cut_off(random_vgg, pixels):
    recipe = RECIPE.set({"finish": "", "features.preparation": "padding"})
    recipe = recipe.set({"features.preparation.padding.multiple": "24", "objective.bounds": "none"})
    vector = make_vector(random_vgg, recipe)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.3], face=BOX)
    face = resize(pixels[5:55, 10:60], (32, 32))
    padded = np.empty((1, 48, 48, 3), np.float32)
    padded[:] = random_vgg.preprocess.mean_rgb
    padded[:, 8:40, 8:40] = face
    problem = make_problem(random_vgg, padded, vector.features, jnp.array([0.3]), recipe=recipe)
    z = reconstruct(random_vgg, problem, recipe=recipe).images
    # Pixels are clipped at the end of an edit only.
    np.testing.assert_array_equal(edit.pixels[0], np.clip(z[0, 8:40, 8:40], 0, 1))
    np.testing.assert_array_equal(edit.face, face)
    assert np.abs(z - padded)[:, :8].max() > 1e-4


def test_a_face_that_was_stretched_returns_to_its_range(random_vgg, pixels):
    recipe = RECIPE.set({"finish": "", "features.preparation": "full_range"})
    recipe = recipe.set({"objective.bounds": "none"})
    vector = make_vector(random_vgg, recipe)
    dull = 0.2 + 0.5 * pixels
    edit = make_editor(random_vgg, recipe).edit(dull, vector, alphas=[0.3], face=BOX)
    face = resize(dull[5:55, 10:60], (32, 32))
    low, high = face.min(), face.max()
    stretched = jnp.asarray((face - low) / (high - low))[None]
    problem = make_problem(random_vgg, stretched, vector.features, [0.3], recipe=recipe)
    z = reconstruct(random_vgg, problem, recipe=recipe).images[0]
    np.testing.assert_allclose(edit.face, face, atol=1e-6)
    # A step of the solver enlarges the rounding of the range.
    np.testing.assert_allclose(edit.pixels[0], low + (high - low) * z, atol=1e-4)


def test_an_edit_of_nothing_leaves_the_photo_even_if_its_crop_is_rounded(random_vgg, pixels):
    recipe = RECIPE.set({"features.preparation": "eight_bits", "solver.iterations": "1"})
    vector = make_vector(random_vgg, recipe)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.0], face=BOX)
    np.testing.assert_array_equal(255 * edit.face, np.round(255 * edit.face))
    np.testing.assert_allclose(edit.pixels[0], pixels, atol=1e-7)


@pytest.mark.parametrize(
    "settings",
    [
        {  # chainer-dfi
            "features.pool_rounding": "up",
            "features.preparation": "eight_bits",
            "objective.total_variation": "total_variation",
            "start": "noise",
        },
        {  # the DFI authors' backend in PyTorch
            "features.preparation": "padding",
            "objective.loss": "sum_squares",
            "objective.total_variation": "total_variation",
            "objective.total_variation.positions": "inner",
            "objective.total_variation.floor": "0.001",
            "start": "previous",
        },
        {  # dfi-tensorflow, from noise
            "features.preparation": "full_range,eight_bits",
            "features.normalization": "l2",
            "features.normalization.scope": "concat",
            "objective.total_variation": "channel_sum",
            "objective.bounds": "linear",
            "start": "uniform",
        },
    ],
)
def test_what_the_published_systems_do_runs_together_and_is_recorded(random_vgg, pixels, settings):
    recipe = small_recipe(size=17, iterations=3, layers=("conv2_1",)).set(
        {"objective.bounds": "none"} | settings
    )
    vector = make_vector(random_vgg, recipe)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.2, 0.4], face=BOX)
    assert edit.faces.shape == (2, 17, 17, 3)
    assert np.all(np.isfinite(edit.faces))
    assert edit.objective[0] < edit.history[0, 0]
    assert Recipe.from_dict(edit.record["recipe"]) == recipe
    assert not np.array_equal(edit.pixels[1], pixels)
