import dataclasses

import numpy as np
import pytest
from PIL import Image

from dfi_jax import Placement, Rule, near
from dfi_jax.data import landmarks, lfw
from dfi_jax.data.dataset import Dataset
from dfi_jax.photo.photo import read
from dfi_jax.vectors import probes
from dfi_jax.vectors.anchor import find_anchor


@pytest.fixture(scope="module")
def dataset(lfw_folder):
    return lfw.load(lfw_folder)


def test_a_photo_of_the_dataset_has_its_scores_and_its_number(random_vgg, dataset):
    placement = dataset.placement(3)
    anchor = find_anchor(random_vgg, dataset, dataset.read(3), placement, index=3)
    assert anchor.index == 3
    np.testing.assert_array_equal(anchor.scores, dataset.scores[3])
    np.testing.assert_array_equal(anchor.face, dataset.face(3, 200))


def test_a_stranger_s_scores_are_estimated_only_if_they_are_needed(random_vgg, dataset, photo):
    pixels = read(photo)
    placement = Placement.whole((120, 140))
    found = find_anchor(random_vgg, dataset, pixels, placement)
    assert found.scores.shape == (4,)
    seen = []
    for nearness in (near.pixels, near.features("conv1_1")):
        anchor = find_anchor(
            random_vgg,
            dataset,
            pixels,
            placement,
            rule=Rule(near=nearness),
            on_progress=seen.append,
        )
        assert anchor.scores is None
        assert anchor.face.shape == (200, 200, 3)
    assert seen == []
    rule = Rule(near=near.pixels, like_photo=("Smiling",))
    assert find_anchor(random_vgg, dataset, pixels, placement, rule=rule).scores is not None


@pytest.mark.parametrize(
    "nearness", [near.binary, near.landmarks(), near.landmarks(first=near.flags, points=68)]
)
def test_a_stranger_s_scores_and_landmarks_are_found_for_a_nearness_that_needs_them(
    random_vgg, dataset, photo, monkeypatch, nearness
):
    fitted, every = [], np.arange(136.0).reshape(68, 2)

    def nearest(pixels, place, *, points=5):
        return every[:points] + place.box[0]

    placement = Placement.from_box((10, 20, 90, 100))
    monkeypatch.setattr(probes, "fit", lambda vgg, dataset, **_: fitted.append(dataset))
    monkeypatch.setattr(probes, "estimate", lambda vgg, fitted, face: face[0, 0])
    monkeypatch.setattr(landmarks, "nearest", nearest)
    pixels = read(photo)
    anchor = find_anchor(random_vgg, dataset, pixels, placement, rule=Rule(near=nearness))
    assert (fitted, anchor.index) == ([dataset], None)
    np.testing.assert_array_equal(anchor.face, placement.crop(pixels))
    np.testing.assert_array_equal(anchor.scores, anchor.face[0, 0])
    if nearness == near.binary:
        assert anchor.landmarks is None
    else:
        np.testing.assert_array_equal(anchor.landmarks, every[: nearness.points] + 10)


def test_a_single_score_says_nothing_about_a_photo(random_vgg, dataset):
    pair = dataclasses.replace(dataset, attributes=("Target",), scores=dataset.scores[:, 1:2])
    anchor = find_anchor(random_vgg, pair, pair.read(3), pair.placement(3), index=3)
    assert (anchor.index, anchor.scores) == (3, None)


def test_landmarks_are_the_dataset_s_if_it_has_them(random_vgg, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((178, 218), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "1.png")
    points = np.array([(69.5, 111.3), (107.7, 111.2), (88.2, 135.5), (72, 152), (105.5, 152)])
    dataset = Dataset(
        name="aligned",
        names=("1.png",),
        read=lambda i: read(tmp_path / "1.png"),
        attributes=("Smiling", "Young"),
        scores=np.ones((1, 2), np.float32),
        landmarks=points[None],
        folder=tmp_path,
    )
    placement = dataset.placement(0)
    assert placement == Placement.from_landmarks(points)
    rule = Rule(near=near.landmarks(first=near.scores))
    anchor = find_anchor(random_vgg, dataset, dataset.read(0), placement, index=0, rule=rule)
    np.testing.assert_array_equal(anchor.landmarks, points)
    np.testing.assert_allclose(anchor.face, dataset.face(0, 200))
