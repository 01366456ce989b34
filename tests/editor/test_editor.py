import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfi_jax import image
from dfi_jax.vectors.attribute_vector import AttributeVector, Provenance
from dfi_jax.editor import check_alphas, edit_face, save
from dfi_jax.errors import FileError, InputError
from dfi_jax.engine.problem import make_problem
from dfi_jax.recipe import Recipe
from dfi_jax.engine.reconstruct import reconstruct
from dfi_jax.network.vgg import feature_shapes
from dfi_jax.network.weights import load_vgg

LAYERS = ("conv1_2", "conv2_1")
RECIPE = Recipe(layers=LAYERS, size=32, iterations=4)


@pytest.fixture(scope="module")
def vgg():
    return load_vgg("random-vgg16")


@pytest.fixture(scope="module")
def vector(vgg):
    rng = np.random.default_rng(0)
    shapes = feature_shapes("vgg16", LAYERS, (32, 32))
    provenance = Provenance("none", ("Smiling",), 10, 10, 10, vgg.name, vgg.sha256, LAYERS, 32)
    return AttributeVector(
        {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in shapes.items()}, provenance
    )


@pytest.fixture
def photograph():
    noise = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC), np.float32) / 255


def test_an_edit_without_postprocessing_is_the_reconstruction(vgg, vector, photograph):
    recipe = RECIPE.replace(postprocess=())
    edited = edit_face(vgg, photograph, vector, alphas=[0.3], recipe=recipe, place=(10, 5, 60, 55))
    face = image.resize(photograph[5:55, 10:60], (32, 32))
    problem = make_problem(vgg, jnp.asarray(face)[None], vector.features, jnp.array([0.3]), recipe=recipe)
    expected = reconstruct(vgg, problem, recipe=recipe).images
    np.testing.assert_allclose(edited.original, face)
    np.testing.assert_allclose(edited.photographs, expected, atol=1e-3)
    assert edited.history.shape == (1, 4)


def test_the_difference_goes_to_the_photograph_at_its_own_size_and_only_inside_the_box(vgg, vector, photograph):
    edited = edit_face(vgg, photograph, vector, alphas=[0.2, 0.5], recipe=RECIPE, place=(10, 5, 60, 55))
    assert edited.photographs.shape == (2, 60, 80, 3)
    changed = np.abs(edited.photographs - photograph).max(axis=(0, 3)) > 1e-6
    assert changed[6:54, 11:59].mean() > 0.5
    changed[5:55, 10:60] = False
    assert not changed.any()
    assert [view.shape for view in edited.views()] == [(32, 32, 3), (50, 50, 3), (50, 50, 3)]


def test_nothing_changes_where_the_mask_is_black(vgg, vector, photograph):
    mask = np.zeros((16, 16, 3), np.float32)
    mask[:8] = 1
    recipe = RECIPE.replace(postprocess=("mask", "transfer_difference"))
    edited = edit_face(vgg, photograph, vector, alphas=[0.5], recipe=recipe, mask=mask)
    difference = np.abs(edited.photographs[0] - photograph)
    assert difference[:25].max() > 0.001
    np.testing.assert_allclose(difference[35:], 0, atol=1e-6)


def test_a_mask_without_its_step_or_the_step_without_a_mask_is_refused(vgg, vector, photograph):
    with pytest.raises(InputError, match="the recipe has no step `mask`"):
        edit_face(vgg, photograph, vector, alphas=[0.5], recipe=RECIPE, mask=photograph)
    with pytest.raises(InputError, match="no mask is given"):
        edit_face(vgg, photograph, vector, alphas=[0.5], recipe=RECIPE.replace(postprocess=("mask",)))


def test_every_step_of_chainer_dfi_runs_and_matches_the_colour(vgg, vector, photograph):
    recipe = RECIPE.replace(postprocess=("match_color", "cancel_residual"), init="noise", bounds="none")
    edited = edit_face(vgg, photograph, vector, alphas=[0.0], recipe=recipe)
    # at α = 0 the edit is its own residual, and what is left is the face
    np.testing.assert_allclose(edited.photographs[0], edited.original, atol=1e-3)


def test_vectors_of_other_layers_or_networks_are_refused(vgg, vector, photograph):
    with pytest.raises(InputError, match="made with layers conv1_2, conv2_1 and this run has conv1_2"):
        edit_face(vgg, photograph, vector, alphas=[0.1], recipe=RECIPE.replace(layers=("conv1_2",)))
    with pytest.raises(InputError, match="made with the network random-vgg16"):
        edit_face(load_vgg("random-vgg16", seed=1), photograph, vector, alphas=[0.1], recipe=RECIPE)


@pytest.mark.parametrize("box", [(0, 0, 81, 60), (-1, 0, 50, 50), (50, 0, 40, 50)])
def test_a_box_outside_of_the_photograph_is_refused(vgg, vector, photograph, box):
    with pytest.raises(InputError, match="doesn't lie inside the image, which is 80 × 60 pixels"):
        edit_face(vgg, photograph, vector, alphas=[0.1], recipe=RECIPE, place=box)


def test_strengths_that_are_not_finite_or_share_a_file_name_are_refused():
    for alphas, message in (([], "no strength"), ([0.1, np.nan], "alpha is nan"), ([np.inf], "alpha is inf")):
        with pytest.raises(InputError, match=message):
            check_alphas(alphas)
    with pytest.raises(InputError, match=r"0\.1 is given twice"):
        check_alphas([0.1, 0.1000000001])


def test_what_is_saved_says_all_that_is_known(vgg, vector, photograph, tmp_path):
    edited = edit_face(vgg, photograph, vector, alphas=[0.2, -0.5], recipe=RECIPE)
    folder = tmp_path / "deep" / "results"
    written = save(folder, edited, vgg=vgg, subject={"photograph": "a.png"}, seconds={"means": 1.5})
    assert sorted(folder.iterdir()) == sorted(written)
    assert {path.name for path in written} == {"alpha-0.2.png", "alpha--0.5.png", "sheet.png", "loss.png",
                                               "result.json"}  # fmt: skip
    for path in written[:-1]:
        with Image.open(path) as picture:
            picture.load()
    np.testing.assert_allclose(image.read(folder / "alpha-0.2.png"), edited.photographs[0], atol=0.5 / 255 + 1e-6)
    result = json.loads((folder / "result.json").read_text())
    assert result["photograph"] == "a.png"
    assert result["alphas"] == [0.2, -0.5]
    assert result["recipe"]["iterations"] == 4
    assert Recipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in result["recipe"].items()}) == RECIPE
    assert result["vector"]["attributes"] == ["Smiling"]
    assert result["network"]["sha256"] == vgg.sha256
    assert np.shape(result["objective"]) == (2, 4)
    assert set(result["seconds"]) == {"means", "compilation", "iteration", "reconstruction", "edit"}
    assert result["device"]["platform"] == "cpu"
    assert {"python", "jax", "numpy", "dfi-jax"} <= set(result["versions"])


def test_a_folder_with_files_is_only_written_to_with_force(vgg, vector, photograph, tmp_path):
    edited = edit_face(vgg, photograph, vector, alphas=[0.2], recipe=RECIPE)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="already holds files"):
        save(tmp_path, edited, vgg=vgg, subject={}, seconds={})
    save(tmp_path, edited, vgg=vgg, subject={}, seconds={}, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
