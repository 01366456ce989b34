import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors

from dfi_jax import attribute
from dfi_jax.vectors.attribute_vector import AttributeVector, Provenance
from dfi_jax.errors import FileError, InputError
from dfi_jax.network.means import scaled_vector
from dfi_jax.recipe import Recipe
from dfi_jax.network.vgg import features
from dfi_jax.network.weights import load_vgg

LAYERS = ("conv1_2", "conv2_1")
RECIPE = Recipe(layers=LAYERS, size=16)


@pytest.fixture(scope="module")
def vgg():
    return load_vgg("random-vgg16")


@pytest.fixture(scope="module")
def vector(vgg):
    rng = np.random.default_rng(0)
    source, target = rng.random((2, 5, 16, 16, 3), np.float32)
    provenance = Provenance("test", ("Smiling", "~Male"), 5, 5, 5, vgg.name, vgg.sha256, LAYERS, 16, (1, 2, 3, 4))
    return attribute.compute(vgg, [source[:3], source[3:]], [target], provenance)


def test_the_vector_is_the_difference_of_the_means(vgg, vector):
    rng = np.random.default_rng(0)
    source, target = (features(vgg, images, layers=LAYERS) for images in rng.random((2, 5, 16, 16, 3), np.float32))
    for name in LAYERS:
        expected = np.asarray(target[name], np.float64).mean(0) - np.asarray(source[name], np.float64).mean(0)
        np.testing.assert_allclose(vector.features[name], expected, atol=1e-5)


@pytest.mark.parametrize("scope", ["layer", "concat"])
@pytest.mark.parametrize("vector_norm", ["none", "unit", "unit_times_phi", "mean_square"])
def test_a_vector_is_scaled_as_its_formula_says(vgg, vector, vector_norm, scope):
    phi = features(vgg, np.random.default_rng(1).random((2, 16, 16, 3), np.float32), layers=LAYERS)
    recipe = RECIPE.replace(vector_norm=vector_norm, norm_scope=scope)
    scaled = scaled_vector(vector.features, phi, recipe=recipe)
    w = {name: np.asarray(layer, np.float64) for name, layer in vector.features.items()}
    for name in LAYERS:
        names = [name] if scope == "layer" else LAYERS
        all_w = np.concatenate([w[n].ravel() for n in names])
        for i in range(2):
            norm_phi = np.linalg.norm(np.concatenate([np.asarray(phi[n][i], np.float64).ravel() for n in names]))
            factor = {
                "none": 1,
                "unit": 1 / np.linalg.norm(all_w),
                "unit_times_phi": norm_phi / np.linalg.norm(all_w),
                "mean_square": 1 / np.mean(all_w**2),
            }[vector_norm]
            np.testing.assert_allclose(scaled[name][i], factor * w[name], rtol=1e-5)


def test_a_vector_comes_back_from_its_file(tmp_path, vector):
    path = tmp_path / "deep" / "smile.safetensors"
    attribute.save(path, vector)
    read = attribute.load(path)
    assert read.provenance == vector.provenance
    for name in LAYERS:
        np.testing.assert_array_equal(read.features[name], vector.features[name])


def test_eight_bits_keep_the_direction(tmp_path, vector):
    attribute.save(tmp_path / "a.safetensors", vector, dtype="int8")
    attribute.save(tmp_path / "b.safetensors", vector)
    read = attribute.load(tmp_path / "a.safetensors")
    for name in LAYERS:
        a, b = (np.asarray(v.features[name], np.float64).ravel() for v in (read, vector))
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999
    assert (tmp_path / "a.safetensors").stat().st_size < 0.4 * (tmp_path / "b.safetensors").stat().st_size


def test_provenance_is_metadata_that_any_reader_sees(tmp_path, vector):
    attribute.save(tmp_path / "a.safetensors", vector)
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        described = file.metadata()
    assert described["dataset"] == '"test"'
    assert described["attributes"] == '["Smiling", "~Male"]'
    assert described["crop"] == "[1, 2, 3, 4]"


def test_a_damaged_file_is_refused(tmp_path, vector):
    path = tmp_path / "a.safetensors"
    attribute.save(path, vector)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<!DOCTYPE html>" * 100):
        path.write_bytes(content)
        with pytest.raises(FileError, match="can't be read as an attribute vector"):
            attribute.load(path)
    with pytest.raises(FileError, match="does not exist"):
        attribute.load(tmp_path / "absent")


def test_a_file_of_other_tensors_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(FileError, match="is not an attribute vector of dfi_jax"):
        attribute.load(path)


def test_values_that_are_not_finite_are_refused(tmp_path, vector):
    broken = {name: layer.at[0, 0, 0].set(jnp.nan) for name, layer in vector.features.items()}
    attribute.save(tmp_path / "a.safetensors", AttributeVector(broken, vector.provenance))
    with pytest.raises(FileError, match="not finite"):
        attribute.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"network": "vgg19"}, "the network"),
        ({"weights_sha256": "0" * 64}, "the network"),
        ({"layers": ("conv1_2",)}, "layers"),
        ({"size": 224}, "image size"),
        ({"feature_norm": "l2"}, "feature_norm"),
    ],
)
def test_a_vector_made_otherwise_is_refused(vgg, vector, changes, what):
    attribute.check(vector, vgg, RECIPE)
    other = AttributeVector(vector.features, dataclasses.replace(vector.provenance, **changes))
    with pytest.raises(InputError, match=f"was made with {what}"):
        attribute.check(other, vgg, RECIPE)


def test_a_vector_of_another_shape_is_refused(vgg, vector):
    cut = {name: layer[1:] for name, layer in vector.features.items()}
    with pytest.raises(InputError, match="has shape"):
        attribute.check(AttributeVector(cut, vector.provenance), vgg, RECIPE)


@pytest.mark.parametrize("name", ["eyeglasses", "older"])
def test_the_starter_vectors_fit_the_default(name):
    vector = attribute.starter(name)
    attribute.check(vector, load_vgg("vgg16"), Recipe())
    made = vector.provenance
    assert made.n_source == made.n_target >= 200
    assert (attribute.STARTERS / f"{name}.safetensors").stat().st_size < 1.1e6


def test_an_unknown_starter_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="there are eyeglasses, older"):
        attribute.starter("moustache")
