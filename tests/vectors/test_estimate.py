import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_recipe

from dfi_jax import Cache, InputError, Rule, Unshrunk, Wanted, Wiener, features, load_vgg
from dfi_jax.data import lfw, synthetic
from dfi_jax.data.admission import thresholded
from dfi_jax.data.selection import Anchor, Selection, select, spread
from dfi_jax.editor.record import find_warnings
from dfi_jax.vectors.estimate import attribute_vector

RECIPE = small_recipe(size=32, layers=("conv1_1",), shrinkage="unshrunk")


@pytest.fixture(scope="module")
def dataset(lfw_folder):
    return lfw.load(lfw_folder)


def mean(vgg, dataset, rows):
    faces = (jnp.asarray(dataset.face(row, 32))[None] for row in rows)
    phi = [features(vgg, face, layers=("conv1_1",))["conv1_1"][0] for face in faces]
    return np.mean(phi, axis=0)


def test_the_vector_is_the_difference_of_the_means(random_vgg, dataset):
    index = 3  # It is the second image of the second person, who smiles.
    anchor = Anchor(index=index, scores=dataset.scores[index])
    selection = select(dataset, "smiling", anchor=anchor)
    vector = attribute_vector(random_vgg, selection, recipe=RECIPE)
    assert vector.provenance.attributes == ("Smiling",)
    assert vector.provenance.near == "scores"
    assert (vector.provenance.n_source, vector.provenance.n_target) == (24, 22)
    target = [i for i in range(48) if i // 2 % 2 and i // 2 != 1]
    source = [i for i in range(48) if not i // 2 % 2]
    expected = mean(random_vgg, dataset, target) - mean(random_vgg, dataset, source)
    np.testing.assert_allclose(vector.features["conv1_1"], expected, atol=1e-4)
    made = vector.provenance
    assert (made.dataset, made.crop, made.warped) == ("lfw", (40, 20, 210, 190), False)
    assert (made.network, made.weights_sha256) == (random_vgg.name, random_vgg.sha256)
    assert (made.layers, made.size, made.k) == (("conv1_1",), 32, 100)


@pytest.mark.parametrize("kind", ["nearness", "confidence"])
def test_images_weigh_in_the_means_what_the_rule_says(random_vgg, dataset, kind):
    anchor = Anchor(index=3, scores=dataset.scores[3])
    selection = select(dataset, "smiling", anchor=anchor, k=12, rule=f"weights={kind}")
    cache = Cache()
    found = [attribute_vector(random_vgg, selection, recipe=RECIPE, cache=cache) for _ in range(2)]
    equal = dataclasses.replace(selection, rule=Rule())
    other = attribute_vector(random_vgg, equal, recipe=RECIPE, cache=cache)
    expected, squares = 0, 0
    for sign, rows in ((1, selection.target), (-1, selection.source)):
        weights = np.arange(12, 0, -1) if kind == "nearness" else abs(dataset.scores[rows, 1])
        phi = np.stack([mean(random_vgg, dataset, [row]) for row in rows]).astype(float)
        center = np.average(phi, axis=0, weights=weights)
        n = weights.sum() ** 2 / (weights**2).sum()
        expected = expected + sign * center
        squares += (np.average((phi - center) ** 2, axis=0, weights=weights) / (n - 1)).sum()
    for vector in found:
        np.testing.assert_allclose(vector.features["conv1_1"], expected, atol=1e-4)
        np.testing.assert_allclose(vector.provenance.noise, np.sqrt(squares), rtol=1e-4)
        assert f"weights={kind}" in vector.provenance.rule
    assert np.abs(other.features["conv1_1"] - expected).max() > 1e-3


@pytest.mark.parametrize("attribute", ["Smiling", "~Smiling"])
def test_a_removal_puts_the_mean_of_faces_without_the_attribute_in_place(
    random_vgg, dataset, attribute
):
    selection = spread(dataset, attribute, k=10)
    replacement = attribute_vector(random_vgg, selection, recipe=RECIPE).replacement
    serious = selection.source if attribute == "Smiling" else selection.target
    assert not any(i // 2 % 2 for i in serious)
    expected = mean(random_vgg, dataset, serious)
    np.testing.assert_allclose(replacement.average["conv1_1"], expected, atol=1e-4)


@pytest.mark.parametrize("scope", ["layer", "concat"])
def test_the_features_of_each_image_are_normalised_before_the_mean(random_vgg, dataset, scope):
    layers = ("conv1_1", "conv2_1")
    settings = {"features.layers": ",".join(layers), "features.size": "16"}
    settings |= {"features.normalization": "l2", "features.normalization.scope": scope}
    selection = spread(dataset, "Smiling", k=10)
    vector = attribute_vector(random_vgg, selection, recipe=RECIPE.set(settings))
    means = []
    for rows in (selection.target, selection.source):
        faces = jnp.asarray(np.stack([dataset.face(row, 16) for row in rows]))
        phi = features(random_vgg, faces, layers=layers)
        flat = [np.asarray(layer, np.float64).reshape(len(rows), -1) for layer in phi.values()]
        norms = [np.linalg.norm(layer, axis=1) for layer in flat]
        if scope == "concat":
            norms = [np.hypot(*norms)] * 2
        means.append([(f / n[:, None]).mean(axis=0) for f, n in zip(flat, norms, strict=True)])
    for name, target, source in zip(layers, *means, strict=True):
        found = np.asarray(vector.features[name]).ravel()
        np.testing.assert_allclose(found, target - source, atol=1e-4 * np.abs(target).max())
    assert vector.provenance.normalization.scope == scope


@pytest.mark.parametrize(
    ("setting", "shape"),
    [
        ({"features.pool_rounding": "up"}, (9, 9)),
        ({"features.preparation": "full_range"}, (8, 8)),
        ({"features.preparation": "full_range,eight_bits,padding"}, (32, 32)),
    ],
)
def test_images_of_the_sets_are_prepared_and_pooled_as_the_recipe_says(
    random_vgg, dataset, setting, shape
):
    recipe = RECIPE.set({"features.layers": "conv2_1", "features.size": "17"} | setting)
    selection = spread(dataset, "Smiling", k=10)
    vector = attribute_vector(random_vgg, selection, recipe=recipe)
    means = []
    for rows in (selection.target, selection.source):
        faces = np.stack([dataset.face(row, 17) for row in rows]).astype(np.float64)
        if "preparation" in next(iter(setting)):
            low, high = (f(faces, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
            faces = (faces - low) / (high - low)
        if shape == (32, 32):
            padded = np.tile(np.array([0.485, 0.456, 0.406]), (len(rows), 64, 64, 1))
            padded[:, 23:40, 23:40] = np.round(255 * faces) / 255
            faces = padded
        rounding = "up" if shape == (9, 9) else "down"
        phi = features(
            random_vgg,
            jnp.asarray(faces, jnp.float32),
            layers=("conv2_1",),
            pool_rounding=rounding,
        )
        means.append(np.asarray(phi["conv2_1"], np.float64).mean(axis=0))
    assert vector.features["conv2_1"].shape[:2] == shape
    expected = means[0] - means[1]
    np.testing.assert_allclose(
        vector.features["conv2_1"], expected, atol=1e-4 * np.abs(means[0]).max()
    )
    vector.check(random_vgg, recipe=recipe)
    undone = {"features.preparation": "none"}
    with pytest.raises(InputError, match="was made with"):
        vector.check(random_vgg, recipe=recipe.set({"features.pool_rounding": "down"} | undone))


def test_the_noise_is_what_vectors_of_halves_differ_by(random_vgg):
    # Two independent vectors differ by noise of twice the squared standard error each has.
    people = synthetic.load(240, size=16)
    recipe = small_recipe(size=16, layers=("conv2_1",), shrinkage="unshrunk")
    members = Wanted.parse("Smiling").members(thresholded(people.scores), people.attributes)
    first_photos = np.arange(0, len(people), 2)  # one of each person
    halves = []
    for half in (0, 1):
        source, target = (first_photos[half::2][rows[first_photos[half::2]]] for rows in members)
        selection = Selection(
            dataset=people,
            wanted=Wanted.parse("Smiling"),
            k=100,
            near=None,
            source=source,
            target=target,
        )
        halves.append(attribute_vector(random_vgg, selection, recipe=recipe))
    difference = halves[0].features["conv2_1"] - halves[1].features["conv2_1"]
    expected = np.hypot(*(half.provenance.noise[0] for half in halves))
    # Light and colour of the drawn photos move many activations together, so lengths vary a lot.
    np.testing.assert_allclose(np.linalg.norm(difference), expected, rtol=0.3)


@pytest.mark.parametrize("count", [1, 10])
def test_a_single_image_has_the_variance_of_the_other_set_if_that_has_one(
    random_vgg, dataset, count
):
    selection = spread(dataset, "Smiling", k=count)
    selection = dataclasses.replace(selection, source=selection.source[:1])
    vector = attribute_vector(random_vgg, selection, recipe=RECIPE.set({"shrinkage": "wiener"}))
    target = np.stack([mean(random_vgg, dataset, [row]) for row in selection.target])
    if count == 1:  # Nothing says how images vary.
        assert (vector.provenance.length, vector.provenance.noise) == ((), ())
        assert vector.provenance.shrinkage == Unshrunk()
        expected = target[0] - mean(random_vgg, dataset, selection.source)
        np.testing.assert_allclose(vector.features["conv1_1"], expected, atol=1e-4)
        assert "noise in the attribute vector is unknown" in find_warnings(vector.provenance)[0]
    else:
        expected = target.var(axis=0, ddof=1, dtype=float).sum() * (1 / 10 + 1)
        np.testing.assert_allclose(vector.provenance.noise, np.sqrt(expected), rtol=1e-4)


def test_a_recipe_shrinks_the_vector(random_vgg, dataset):
    selection = spread(dataset, "Smiling", k=20)
    whole = attribute_vector(random_vgg, selection, recipe=RECIPE)
    shrunk = attribute_vector(random_vgg, selection, recipe=RECIPE.set({"shrinkage": "wiener"}))
    assert shrunk.provenance.length == whole.provenance.length
    assert shrunk.provenance.shrinkage == Wiener()
    (noise,), (length,) = shrunk.provenance.noise, shrunk.provenance.length
    assert noise > 0
    assert np.linalg.norm(shrunk.features["conv1_1"]) < length


def test_means_are_computed_once_for_everything_they_depend_on(random_vgg, dataset):
    anchor = Anchor(face=dataset.face(0, 200))
    selection = select(dataset, "Smiling", anchor=anchor, k=10)
    cache, seen = Cache(), []

    def vector(recipe=RECIPE, network=random_vgg, cache=cache):
        seen.clear()
        return attribute_vector(
            network, selection, recipe=recipe, cache=cache, on_progress=seen.append
        )

    first = vector()
    assert [(p.phase, p.done, p.total, p.unit) for p in seen] == [
        ("mean features", 10, 20, "images"),
        ("mean features", 20, 20, "images"),
    ]
    again = vector()
    assert seen == []
    np.testing.assert_array_equal(first.features["conv1_1"], again.features["conv1_1"])
    for change in (
        {"features.size": "48"},
        {"features.pool_rounding": "up"},
        {"features.preparation": "eight_bits"},
        {"features.preparation": "padding"},
        {"features.preparation": "padding", "features.preparation.padding.multiple": "48"},
        {"features.layers": "conv1_2"},
        {"features.normalization": "l2"},
        {"features.normalization": "l2", "features.normalization.scope": "concat"},
    ):
        vector(RECIPE.set(change))
        assert seen, change
    vector(network=load_vgg("random-vgg16", seed=1))
    assert seen
    vector(network=load_vgg("random-vgg16", pooling="average"))
    assert seen
    vector(cache=None)
    assert seen
