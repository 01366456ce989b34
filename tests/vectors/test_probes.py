import dataclasses

import numpy as np
import pytest

from dfi_jax import Cache
from dfi_jax.data import synthetic
from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import InputError
from dfi_jax.network.weights import load_vgg
from dfi_jax.vectors import probes


@pytest.fixture(scope="module")
def vgg():
    return load_vgg("vgg16")


def test_a_drawn_smile_and_spectacles_are_told_in_people_left_out(vgg):
    dataset = synthetic.load(100, size=100)
    seen = []
    cache = Cache()
    found = probes.fit(vgg, dataset, cache=cache, on_progress=seen.append)
    by_name = dict(zip(found.attributes, found.auc, strict=True))
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("attribute probes", 100, 100)
    assert by_name["Eyeglasses"] > 0.85
    assert by_name["Smiling"] > 0.75
    seen.clear()
    again = probes.fit(vgg, dataset, cache=cache, on_progress=seen.append)
    assert seen == []
    np.testing.assert_array_equal(found.ridge.weights, again.ridge.weights)
    stranger = synthetic.load(24, seed=9, size=100)
    estimates = np.stack([probes.estimate(vgg, found, stranger.face(i, 100)) for i in range(24)])
    column = found.attributes.index("Eyeglasses")
    assert np.corrcoef(estimates[:, column], stranger.scores[:, column])[0, 1] > 0.5


def test_probes_of_some_images_do_not_see_the_others():
    random_vgg, dataset = load_vgg("random-vgg16"), synthetic.load(30, size=32)
    some = np.arange(5, 25)
    alone = dataclasses.replace(
        dataset,
        names=tuple(dataset.names[i] for i in some),
        read=lambda i: dataset.read(int(some[i])),
        scores=dataset.scores[some],
        people=None if dataset.people is None else dataset.people[some],
        landmarks=None if dataset.landmarks is None else dataset.landmarks[some],
    )
    found = probes.fit(random_vgg, dataset, rows=some.tolist())
    expected = probes.fit(random_vgg, alone)
    np.testing.assert_array_equal(found.ridge.weights, expected.ridge.weights)
    np.testing.assert_array_equal(found.auc, expected.auc)


def test_a_dataset_that_teaches_nothing_is_refused(vgg):
    face = np.zeros((8, 8, 3), np.float32)
    bare = Dataset(
        name="bare",
        names=("a",),
        read=lambda i: face,
        attributes=(),
        scores=np.zeros((1, 0), np.float32),
    )
    with pytest.raises(InputError, match="bare has no attribute scores"):
        probes.fit(vgg, bare)
    few = Dataset(
        name="few",
        names=tuple("abcdef"),
        read=lambda i: face,
        attributes=("Smiling",),
        scores=np.ones((6, 1), np.float32),
        people=np.arange(6) % 3,
    )
    with pytest.raises(InputError, match="fewer than 5 people"):
        probes.fit(vgg, few)


def test_probes_are_fitted_anew_where_any_image_score_or_the_network_changes(vgg, monkeypatch):
    pictures = np.random.default_rng(0).random((12, 32, 32, 3)).astype(np.float32)
    scores = np.random.default_rng(1).uniform(-0.5, 0.5, (12, 2)).astype(np.float32)
    fitted = []

    def pool_features(vgg, faces):
        fitted.append(1)
        return faces.reshape(len(faces), -1)

    monkeypatch.setattr(probes, "pool_features", pool_features)
    cache = Cache()

    def fit(network=vgg, people=None, last=pictures[-1], scores=scores):
        fitted.clear()
        images = [*pictures[:-1], last]
        names = tuple(map(str, range(12)))
        dataset = Dataset(
            name="made",
            names=names,
            read=images.__getitem__,
            attributes=("Smiling", "Young"),
            scores=scores,
            people=people,
        )
        found = probes.fit(network, dataset, cache=cache)
        assert np.isfinite(found.auc).all()  # A score above 0 is enough for an attribute.
        return bool(fitted)

    assert fit()
    assert not fit()
    assert fit(last=pictures[0])
    assert fit(people=np.arange(12) // 2)
    assert fit(people=np.arange(12) % 5)  # Five people are enough.
    assert fit(scores=scores[::-1])
    blue_first = dataclasses.replace(vgg.preprocess, bgr=True)
    assert fit(network=dataclasses.replace(vgg, preprocess=blue_first))
