"""What becomes of a reconstruction, without reconstructing anything."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe

from dfi_jax import Clip, InputError, Job, Replacement, Stretch, near
from dfi_jax.data import synthetic
from dfi_jax.editor.assembly import prepare_work
from dfi_jax.editor.record import SUBTRACTED, finer_warnings, mask_warnings, vector_warnings
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.warp import Warp

SIZE = 32
BOX = (20, 10, 60, 50)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0.3, 0.6, (60, 80, 3)).astype(np.float32)


def prepare(vgg, photo, recipe, vector=None, **options):
    vector = make_vector(vgg, recipe) if vector is None else vector
    return prepare_work(Job(photo=photo, attribute=vector, **options), vgg=vgg, recipe=recipe)


def test_an_edit_fades_out_over_the_feather_of_the_recipe(random_vgg, pixels):
    for feather, border in ((0.0, 0.2), (0.25, 0.2 * 0.5 / 10)):
        recipe = small_recipe(size=SIZE, finish__transfer_difference__feather=feather)
        work = prepare(random_vgg, pixels, recipe, face=BOX)
        change = work.finish(work.face + np.float32(0.2), alpha=1.0, unedited=[]) - pixels
        np.testing.assert_allclose(change[20:40, 30:50], 0.2, atol=1e-5)
        # A quarter of the box's side is ten pixels, and a pixel's centre is half a pixel inside.
        np.testing.assert_allclose(change[20:40, 20], border, atol=1e-4)


@pytest.mark.parametrize("finish", [(), (Clip(), Stretch())])
def test_pixels_are_clipped_at_the_end_and_where_the_recipe_says_so(random_vgg, pixels, finish):
    recipe = small_recipe(size=SIZE).replace(finish=finish)
    work = prepare(random_vgg, pixels, recipe, face="whole")
    z = np.linspace(-1, 2, work.face.size, dtype=np.float32).reshape(work.face.shape)
    finished = work.finish(z, alpha=1.0, unedited=[])
    np.testing.assert_allclose(finished, np.clip(z, 0, 1), atol=1e-6)


def test_as_much_is_replaced_as_the_share_of_the_usual_strength_inside_the_mask(random_vgg, pixels):
    recipe = small_recipe(size=SIZE, vector="unit_times_phi")
    assert recipe.vector.usual_alpha == 0.4
    vector = make_vector(random_vgg, recipe)
    fine, coarse = vector.features  # The finer layer tells where the photo is smoothed.
    positions = {name: jnp.zeros((*w.shape[:2], 1)) for name, w in vector.features.items()}
    half = {fine: positions[fine].at[:, :16].set(1.0), coarse: positions[coarse] + 1}
    vector = vector.replace(replacement=Replacement(vector.features, positions, half))
    mask = np.zeros((60, 80), np.float32)
    mask[:30] = 1
    work = prepare(random_vgg, pixels, recipe, vector, face="whole", mask=mask)
    for alpha, share in ((-0.4, 1.0), (-0.1, 0.25), (-3.0, 1.0)):
        with jax.enable_x64(alpha == -0.1):  # A strength is float32 all the same.
            replaced = work.replaced(alpha)
        np.testing.assert_allclose(replaced[:14, :14], share, atol=1e-5)
        assert not replaced[:, 18:].any()
        assert not replaced[18:].any()
    assert work.replaced(0.4) is None
    # Interpolation overshoots beside an edge, also where a warp moves nothing.
    work.warp = Warp.between(CANONICAL_LANDMARKS, CANONICAL_LANDMARKS)
    replaced = work.replaced(-0.4)
    assert (replaced.min(), replaced.max()) == (0, 1)
    assert prepare(random_vgg, pixels, recipe, face="whole").replaced(-1.0) is None


def test_what_is_replaced_lies_where_the_crop_lies_in_its_margin(random_vgg, pixels):
    recipe = small_recipe(size=SIZE, vector="unit_times_phi", features__preparation="padding")
    vector = make_vector(random_vgg, recipe)
    positions = {name: jnp.zeros((*w.shape[:2], 1)) for name, w in vector.features.items()}
    fine = next(iter(positions))
    assert positions[fine].shape == (64, 64, 1)
    # The crop has the middle 32 × 32 of 64 × 64.
    half = positions | {fine: positions[fine].at[:, :32].set(1.0)}
    vector = vector.replace(replacement=Replacement(vector.features, positions, half))
    work = prepare(random_vgg, pixels, recipe, vector, face="whole")
    assert (work.face.shape, work.seen.shape) == ((32, 32, 3), (64, 64, 3))
    replaced = work.replaced(-0.4)
    np.testing.assert_allclose(replaced[:, :14], 1.0, atol=1e-5)
    np.testing.assert_allclose(replaced[:, 18:], 0.0, atol=1e-5)


def test_a_mask_that_leaves_nothing_to_edit_is_a_warning(random_vgg, pixels):
    mask = np.zeros((60, 80), bool)
    for row, warned in ((0, 1), (30, 0)):  # The face's first row is 10.
        mask[row, 40] = True
        work = prepare(random_vgg, pixels, small_recipe(size=SIZE), face=BOX, mask=mask)
        assert len(mask_warnings(work)) == warned


def test_only_a_strength_that_takes_away_can_warn_that_it_subtracts(random_vgg, pixels):
    for alphas, warned in (((0.0,), 0), ((0.3,), 0), ((0.3, -0.1), 1)):
        work = prepare(random_vgg, pixels, small_recipe(size=SIZE), face="whole", alphas=alphas)
        assert len(vector_warnings(work)) == warned


@pytest.mark.parametrize(
    ("strengths", "alpha", "count"),
    [((1, 1), 1.0, 0), ((1, 1), -1.0, 1), ((-0.5, 1), 1.0, 1), ((0, 1), -1.0, 0)],
)
def test_each_vector_of_a_sum_warns_of_its_own_strength(
    random_vgg, pixels, strengths, alpha, count
):
    work = prepare(random_vgg, pixels, small_recipe(size=SIZE), face="whole", alphas=(alpha,))
    shapes = {name: (*w.shape[:2], 1) for name, w in work.vector.features.items()}
    masks = [{name: value * jnp.ones(shape) for name, shape in shapes.items()} for value in (0, 1)]
    # Nothing can be replaced where the first takes its attribute away.
    wide, spot = (
        work.vector.replace(replacement=Replacement(work.vector.features, masks[0], backwards))
        for backwards in masks
    )
    work.parts = tuple(zip((wide, spot), map(float, strengths), strict=True))
    assert vector_warnings(work) == [f"Smiling: {SUBTRACTED}"] * count


def test_each_vector_of_a_sum_warns_of_its_own_noise(random_vgg, pixels):
    options = {"dataset": synthetic.load(60, size=16), "near": near.pixels, "k": 1}
    attribute, recipe = {"Smiling": 1.0, "Eyeglasses": 0.5}, small_recipe(layers=("conv1_1",))
    work = prepare(random_vgg, pixels, recipe, attribute, face="whole", **options)
    first, second = vector_warnings(work)
    assert first.startswith("Smiling: the noise in the attribute vector is unknown")
    assert second.startswith("Eyeglasses: the noise in the attribute vector is unknown")


@pytest.mark.parametrize("preparation", ["", "padding", "eight_bits"])
def test_a_larger_size_starts_from_the_face_and_the_difference(random_vgg, pixels, preparation):
    recipes = [small_recipe(size=size, features__preparation=preparation) for size in (SIZE, 48)]
    vector, finer = (make_vector(random_vgg, recipe) for recipe in recipes)
    work = prepare(random_vgg, pixels, recipes[0], vector, face=BOX, finer=[finer])
    coarse, fine = work.sizes()
    assert fine.recipe == recipes[1]
    start = fine.start_from(coarse, coarse.seen + np.float32(0.2))
    margin = (len(fine.seen) - 48) // 2
    inside = np.s_[margin : margin + 48, margin : margin + 48]
    expected = fine.seen.copy()  # What is beside the face doesn't change.
    expected[inside] += np.float32(0.2)
    # A rounding of the difference isn't that of the sum.
    atol = 1.01 / 255 if preparation == "eight_bits" else 1e-6
    np.testing.assert_allclose(start, expected, atol=atol)


def test_finer_vectors_are_larger_and_larger_and_of_the_same_attribute(random_vgg, pixels):
    recipe = small_recipe(size=SIZE)
    small, large = (make_vector(random_vgg, small_recipe(size=size)) for size in (SIZE, 48))
    for finer, sizes in (([small], "32, 32"), ([large, small], "32, 48, 32")):
        with pytest.raises(InputError, match=f"the sizes of the finer vectors are {sizes}; give"):
            prepare(random_vgg, pixels, recipe, small, face="whole", finer=finer)
    with pytest.raises(InputError, match="finer is a single vector; give a list"):
        prepare(random_vgg, pixels, recipe, small, face="whole", finer="large.safetensors")
    cancelling = recipe.set({"finish": "cancel_residual"})
    with pytest.raises(InputError, match="cancel_residual, which can't be used at several sizes"):
        prepare(random_vgg, pixels, cancelling, small, face="whole", finer=[large])
    work = prepare(random_vgg, pixels, recipe, small, face="whole", finer=[large])
    assert finer_warnings(work) == []
    work = prepare(random_vgg, pixels, recipe, small.opposite(), face="whole", finer=[large])
    assert "is ~Smiling and that of the finer vector is Smiling;" in finer_warnings(work)[0]
