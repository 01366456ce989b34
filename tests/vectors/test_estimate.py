import jax.numpy as jnp
import numpy as np
import pytest
from builders import small_recipe

from dfi_jax import Cache, features, load_vgg
from dfi_jax.data import lfw
from dfi_jax.data.selection import Anchor, select
from dfi_jax.vectors.estimate import attribute_vector

RECIPE = small_recipe(size=32, layers=("conv1_1",))


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
        {"features.layers": "conv1_2"},
        {"features.normalization": "l2"},
    ):
        vector(RECIPE.set(change))
        assert seen, change
    vector(network=load_vgg("random-vgg16", seed=1))
    assert seen
    vector(network=load_vgg("random-vgg16", pooling="average"))
    assert seen
    vector(cache=None)
    assert seen
