import dataclasses
import inspect

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from builders import LAYERS, make_vector, small_recipe

from dfi_jax import (
    L2,
    AttributeVector,
    EightBits,
    FileError,
    InputError,
    Padding,
    Recipe,
    Replacement,
    load_vgg,
    starter,
    starter_names,
)
from dfi_jax.vectors.starters import STARTERS

RECIPE = small_recipe()


@pytest.fixture
def vector(random_vgg):
    found = make_vector(random_vgg, RECIPE)
    changes = {"dataset": "test", "attributes": ("Smiling", "~Male"), "crop": (1, 2, 3, 4)}
    return found.replace(provenance=dataclasses.replace(found.provenance, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"normalization": None},
        {"normalization": L2(scope="concat"), "near": "scores"},
        {"pool_rounding": "up", "preparation": (EightBits(), Padding(multiple=32))},
    ],
)
def test_a_vector_comes_back_from_its_file(tmp_path, vector, changes):
    made = dataclasses.replace(vector.provenance, **changes)
    path = tmp_path / "deep" / "smile.safetensors"
    vector.replace(provenance=made).save(path)
    read = AttributeVector.load(path)
    assert read.provenance == made
    for name in LAYERS:
        np.testing.assert_array_equal(read.features[name], vector.features[name])


def test_eight_bits_are_off_by_half_a_step_of_each_channel_at_most(tmp_path, vector):
    small, large = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    vector.save(small, dtype="int8")
    vector.save(large)
    read = AttributeVector.load(small)
    for name in LAYERS:
        a, b = (np.asarray(v.features[name], np.float64) for v in (read, vector))
        steps = np.abs(b).max(axis=(0, 1)) / 127
        assert np.all(np.abs(a - b) <= 0.5001 * steps)
    assert small.stat().st_size < 0.4 * large.stat().st_size


def test_provenance_is_metadata_that_any_reader_sees(tmp_path, vector):
    vector.save(tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["dataset"] == '"test"'
    assert metadata["attributes"] == '["Smiling", "~Male"]'
    assert metadata["crop"] == "[1, 2, 3, 4]"


def test_a_replacement_comes_back_from_its_file(tmp_path, vector):
    rng = np.random.default_rng(1)
    layers = vector.features
    average = {name: layer + 1 for name, layer in layers.items()}
    masks = [
        {n: jnp.asarray(rng.random((*w.shape[:2], 1)), jnp.float32) for n, w in layers.items()}
        for _ in range(2)
    ]
    vector.replace(replacement=Replacement(average, *masks)).save(tmp_path / "a.safetensors")
    found = AttributeVector.load(tmp_path / "a.safetensors").replacement
    for part, layers in zip(found, (average, *masks), strict=True):
        for name in LAYERS:
            np.testing.assert_array_equal(part[name], layers[name])


def test_a_damaged_file_is_rejected(tmp_path, vector):
    path = tmp_path / "a.safetensors"
    vector.save(path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<!DOCTYPE html>" * 100):
        path.write_bytes(content)
        with pytest.raises(FileError, match="can't be read as an attribute vector"):
            AttributeVector.load(path)
    with pytest.raises(FileError, match="doesn't exist"):
        AttributeVector.load(tmp_path / "absent")


def test_a_file_of_other_tensors_is_rejected(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(3, np.float32)}, path)
    with pytest.raises(FileError, match="is not an attribute vector of dfi_jax"):
        AttributeVector.load(path)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("n_source", '"ten"', "n_source is 'ten' instead of int"),
        ("dataset", '"\\ud800"', "surrogates not allowed"),
        ("layers", "[]", "layers is empty"),
        ("length", "[1.0]", "length has 1 numbers for 2 layers"),
        ("length", "[1e300, 1]", "length is 1e"),
        ("calibration", "[[1]]", r"calibration is \[1\]"),
        ("penalty", "NaN", "penalty is nan"),
        ("shrinkage", "null", "shrinkage is None"),
        ("shrinkage", '{"kind": "wiener", "focus": 1' + "0" * 400 + "}", "give a finite number"),
        ("note", "[" * 100_000, "recursion"),
        ("else", "1", "'else' is unknown"),
    ],
)
def test_a_provenance_that_does_not_fit_its_fields_is_rejected(
    tmp_path, vector, field, value, reason
):
    path = tmp_path / "a.safetensors"
    vector.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    safetensors.numpy.save_file(tensors, path, metadata | {field: value})
    with pytest.raises(FileError, match=f"is not an attribute vector of dfi_jax .*{reason}"):
        AttributeVector.load(path)


def test_values_that_are_not_finite_are_rejected(tmp_path, vector):
    broken = {name: layer.at[0, 0, 0].set(jnp.nan) for name, layer in vector.features.items()}
    vector.replace(features=broken).save(tmp_path / "a.safetensors")
    with pytest.raises(FileError, match="not finite"):
        AttributeVector.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"network": "vgg19"}, "the network"),
        ({"weights_sha256": "0" * 64}, r"the network random-vgg16 \(0{8}\) and this run has"),
        ({"layers": ("conv1_2",)}, "layers"),
        ({"size": 224}, "image size"),
        ({"pool_rounding": "up"}, "pooled sizes rounded up and this run has down"),
        (
            {"preparation": (Padding(), EightBits())},
            r"preparation padding \(multiple 64\), eight_bits and",
        ),
        ({"normalization": L2()}, r"normalization l2 \(scope layer\)"),
    ],
)
def test_a_vector_that_was_made_differently_is_rejected(random_vgg, vector, changes, what):
    vector.check(random_vgg, recipe=RECIPE)
    other = vector.replace(provenance=dataclasses.replace(vector.provenance, **changes))
    message = f"was made with {what}.*; compute the vector from a dataset"
    with pytest.raises(InputError, match=message):
        other.check(random_vgg, recipe=RECIPE)


def test_the_norm_of_a_recipe_has_the_scope_of_its_vector_s(random_vgg, vector):
    made = dataclasses.replace(vector.provenance, normalization=L2(scope="concat"))
    recipe = RECIPE.set({"features.normalization": "l2"})
    message = r"made with normalization l2 \(scope concat\) and this run has l2 \(scope layer\)"
    with pytest.raises(InputError, match=message):
        vector.replace(provenance=made).check(random_vgg, recipe=recipe)


def test_a_network_with_average_pooling_is_another_network(vector):
    averaging = load_vgg("random-vgg16", pooling="average")
    with pytest.raises(InputError, match="this run has random-vgg16 with average pooling"):
        vector.check(averaging, recipe=RECIPE)


def test_a_vector_of_another_shape_is_rejected(random_vgg, vector):
    cut = {name: layer[1:] for name, layer in vector.features.items()}
    with pytest.raises(InputError, match="has shape"):
        vector.replace(features=cut).check(random_vgg, recipe=RECIPE)


@pytest.mark.parametrize("name", starter_names())
def test_the_starter_vectors_fit_the_default(name):
    vector = starter(name)
    vector.check(load_vgg("vgg16"), recipe=Recipe())
    assert vector.provenance.n_source + vector.provenance.n_target == 3000
    assert (STARTERS / f"{name}.safetensors").stat().st_size < 2**20


@pytest.mark.parametrize("name", starter_names())
def test_a_starter_moves_faces_further_at_a_larger_strength(name):
    calibration = starter(name).provenance.calibration
    alphas, moved = (list(values) for values in zip((0.0, 0.0), *calibration, strict=True))
    assert len(alphas) > 1
    assert alphas == sorted(alphas)
    assert moved == sorted(moved)


def test_all_starters_take_at_most_12_mib():
    assert sum(path.stat().st_size for path in STARTERS.glob("*")) <= 12 * 2**20


def test_the_opposite_of_a_starter_is_its_negative():
    vector, opposite = starter("smiling"), starter("~smiling")
    np.testing.assert_array_equal(opposite.features["conv5_1"], -vector.features["conv5_1"])
    assert opposite.provenance.attributes == ("~Smiling",)
    assert opposite.opposite().provenance.attributes == ("Smiling",)


def test_the_opposite_of_a_vector_has_the_opposite_of_what_differs_between_its_sets(vector):
    for before, after in (
        (("~Smiling", "+Young", "-Male"), ("Smiling", "+Young", "-Male")),
        (("1 × Smiling", "-0.5 × ~Young"), ("-1 × Smiling", "0.5 × ~Young")),
    ):
        made = dataclasses.replace(vector.provenance, attributes=before)
        turned = vector.replace(provenance=made).opposite()
        assert turned.provenance.attributes == after
        assert turned.opposite().provenance == made


def test_a_scaled_vector_needs_less_strength(random_vgg, vector):
    made = dataclasses.replace(
        vector.provenance, length=(3.0,), noise=(1.0,), calibration=((1.0, 0.5), (2.0, 1.0))
    )
    scaled = vector.replace(provenance=made).scaled(2.0)
    for name in LAYERS:
        np.testing.assert_array_equal(scaled.features[name], 2 * vector.features[name])
    assert scaled.provenance.calibration == ((0.5, 0.5), (1.0, 1.0))
    assert (scaled.provenance.length, scaled.provenance.noise) == ((6.0,), (2.0,))
    turned = vector.replace(provenance=made).scaled(-2.0).provenance
    assert turned.calibration == ((-0.5, 0.5), (-1.0, 1.0))
    assert (turned.length, turned.noise) == ((6.0,), (2.0,))  # Lengths aren't negative.
    assert vector.replace(provenance=made).scaled(0.0).provenance.calibration == ()


def test_a_vector_that_is_turned_round_replaces_in_the_other_direction(vector):
    glasses = starter("eyeglasses")
    kept, turned = glasses.scaled(0.5).replacement, glasses.scaled(-0.5).replacement
    for name, backwards in glasses.replacement.backwards.items():
        assert backwards.any()
        np.testing.assert_array_equal(kept.backwards[name], backwards)
        np.testing.assert_array_equal(turned.forwards[name], backwards)
        assert not turned.backwards[name].any()
    assert vector.scaled(-0.5).replacement is None


def test_an_unknown_starter_is_rejected_with_a_choice():
    with pytest.raises(
        InputError, match="no vector of the attribute 'taller'; choose from bangs, beard"
    ):
        starter("taller")


def test_a_vector_is_scaled_by_a_finite_factor_and_saved_with_a_known_type(vector, tmp_path):
    with pytest.raises(InputError, match="the factor is nan; give a finite number"):
        vector.scaled(float("nan"))
    with pytest.raises(InputError, match="dtype is 'float16'; choose from float32, int8"):
        inspect.unwrap(AttributeVector.save)(vector, tmp_path / "a.safetensors", dtype="float16")


def test_a_length_whose_square_is_zero_is_no_share_of_anything(vector):
    made = dataclasses.replace(vector.provenance, length=(1e-200, 0.5), noise=(1.0, 0.25))
    assert made.noise_share == 0.25
