"""The steps from a crop to what the network sees, against what the published systems compute."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfi_jax import EightBits, FullRange, InputError, Padding, Recipe
from dfi_jax.recipe.preparation import prepare_images, prepared_size, restore_images

MEAN = (0.485, 0.456, 0.406)


@pytest.fixture
def crops():
    rng = np.random.default_rng(0)
    return rng.uniform([[[[0.1]]], [[[0.3]]]], 0.8, (2, 20, 23, 3)).astype(np.float32)


def test_eight_bits_are_those_of_an_image_file(crops):
    found = EightBits().prepare(crops, MEAN)
    as_file = Image.fromarray(np.uint8(np.floor(255 * crops[0].astype(np.float64) + 0.5)))
    np.testing.assert_array_equal(found[0], np.asarray(as_file, np.float32) / np.float32(255))
    np.testing.assert_array_equal(EightBits().prepare(found, MEAN), found)
    beyond = np.array([-0.5, -0.1, 1.1, 1.5], np.float32).reshape(1, 2, 2, 1).repeat(3, axis=3)
    np.testing.assert_array_equal(EightBits().prepare(beyond, MEAN), beyond > 0.5)


def test_each_image_gets_the_full_range_by_itself(crops):
    """SciPy's `bytescale`: (x − min)·255/(max − min) over all pixels and channels."""
    found = FullRange().prepare(crops, MEAN)
    for image, stretched in zip(crops.astype(np.float64), found, strict=True):
        expected = (image - image.min()) * 255 / (image.max() - image.min())
        np.testing.assert_allclose(255 * stretched, expected, atol=1e-4)
        assert (stretched.min(), stretched.max()) == (0, 1)
    flat = np.full((1, 4, 4, 3), 0.3, np.float32)
    assert not FullRange().prepare(flat, MEAN).any()


@pytest.mark.parametrize(
    ("size", "start", "end"), [((200, 200), (28, 28), (256, 256)), ((21, 64), (21, 0), (64, 64))]
)
def test_a_margin_is_zero_after_preprocessing_and_centred(random_vgg, size, start, end):
    """`FitToQuantum(64)` of the DFI authors' code, which pads what is preprocessed with zeros."""
    image = np.random.default_rng(0).random((1, *size, 3), np.float32)
    preprocess = random_vgg.preprocess
    padded = Padding().prepare(image, preprocess.mean_rgb)
    found = np.asarray(preprocess(jnp.asarray(padded)))
    expected = np.zeros((1, *end, 3))
    rows, columns = (slice(a, a + b) for a, b in zip(start, size, strict=True))
    expected[:, rows, columns] = preprocess(jnp.asarray(image))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    margin = np.ones(end, bool)
    margin[rows, columns] = False
    assert not found[0][margin].any()
    assert prepared_size(size, (Padding(),)) == end


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (FullRange(),),
        (Padding(multiple=8),),
        (FullRange(), Padding(multiple=8)),
        (Padding(multiple=8), FullRange()),
    ],
)
def test_an_edit_is_restored_to_the_range_and_size_of_the_crop(crops, steps):
    seen = prepare_images(crops, steps, MEAN)
    np.testing.assert_allclose(restore_images(seen, crops, steps, MEAN), crops, atol=1e-6)
    # A tenth of what the network sees is a tenth of the range that was stretched. A margin of the
    # mean colour doesn't widen the range of these crops.
    scale = np.ptp(crops, axis=(1, 2, 3), keepdims=True) if FullRange() in steps else 1.0
    moved = restore_images(seen + np.float32(0.1), crops, steps, MEAN) - crops
    np.testing.assert_allclose(moved, np.broadcast_to(0.1 * scale, moved.shape), atol=1e-6)


def test_steps_run_in_their_order(crops):
    first = prepare_images(crops, (FullRange(), EightBits()), MEAN)
    last = prepare_images(crops, (EightBits(), FullRange()), MEAN)
    assert np.abs(255 * first - np.round(255 * first)).max() < 1e-4
    assert np.abs(255 * last - np.round(255 * last)).max() > 0.1


def test_a_recipe_says_what_the_network_sees():
    recipe = Recipe().set(
        {
            "features.preparation": "eight_bits,full_range,padding",
            "features.preparation.padding.multiple": "48",
        }
    )
    assert recipe.features.preparation == (EightBits(), FullRange(), Padding(multiple=48))
    assert recipe.features.seen_size == (240, 240)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    with pytest.raises(InputError, match="padding, padding; give each kind of step once"):
        recipe.features.replace(preparation=(Padding(), Padding(multiple=2)))
