"""The demonstration at high resolution: its sets, their warp, its vector and its mask."""

import dataclasses
import doctest

import high_resolution
import numpy as np
import pytest
import warped_sets
import whole_photos
from whole_photos import Subject

import dfi_jax
from dfi_jax.data import synthetic
from dfi_jax.data.selection import spread
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.photo import write
from dfi_jax.photo.two_scales import fit_two_scales

SIZE = (90, 130)  # Height and width of the photo.


def blob(centre, size):
    """A bright spot on grey."""
    row, column = np.mgrid[: size[0], : size[1]]
    hill = np.exp(-((column - centre[0]) ** 2 + (row - centre[1]) ** 2) / (2 * 3**2))
    return np.repeat(0.5 + 0.5 * hill[..., None], 3, axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def people():
    """Drawn faces of 48 × 48, each of which is a whole image."""
    return dataclasses.replace(synthetic.load(30, size=40), landmarks=None)


@pytest.fixture
def subject():
    """A photo with a face in its middle."""
    pixels = np.random.default_rng(0).random((*SIZE, 3)).astype(np.float32)
    return Subject(
        name="me",
        pixels=pixels,
        points=CANONICAL_LANDMARKS / 4 + 20,
        placement=dfi_jax.Placement.from_box((40, 20, 90, 70)),
        mask=None,
    )


def test_a_point_of_an_image_comes_to_the_photos_point(people, subject):
    rng = np.random.default_rng(1)
    scales, degrees = np.array([1.4, 0.8]), 12
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # The photo's points, turned and stretched, are the image's.
    points = (subject.points - subject.points.mean(axis=0)) / scales @ [[c, -s], [s, c]] + 45
    fit = fit_two_scales(points[None] + 0.5, subject.points + 0.5)
    for i in rng.choice(68, 3, replace=False):
        image = blob(points[i], (100, 100))
        dataset = dataclasses.replace(people, read=lambda index, image=image: image)
        ((laid,),) = warped_sets.lay_over(dataset, np.array([0]), fit.matrices, SIZE)
        assert laid.shape == (*SIZE, 3)
        mass = laid[..., 0] - 0.5
        row, column = np.mgrid[: SIZE[0], : SIZE[1]]
        centre = np.array([np.sum(mass * column), np.sum(mass * row)]) / mass.sum()
        np.testing.assert_allclose(centre, subject.points[i], atol=0.05)


def test_beyond_an_image_is_grey(people):
    beyond = np.array([[[1.0, 0, 100], [0, 1.0, 0]]])  # 48 columns, from the 100th.
    ((laid,),) = warped_sets.lay_over(people, np.array([3]), beyond, SIZE)
    np.testing.assert_allclose(laid[:, :99], 0.5, atol=1e-6)
    np.testing.assert_allclose(laid[:48, 100:], people.read(3)[:, :30], atol=1e-6)


def test_the_images_have_the_photos_gender_and_smile_and_fit_best_among_4k(monkeypatch):
    rng = np.random.default_rng(2)
    names = ("Male", "Smiling", "Young", "Eyeglasses")
    scores = rng.normal(0, 1, (600, 4)).astype(np.float32)
    detected = rng.normal(0, 30, (600, 68, 2))
    dataset = dfi_jax.Dataset(
        name="made",
        names=tuple(map(str, range(600))),
        read=detected.__getitem__,
        attributes=names,
        scores=scores,
    )
    known = np.array([1.0, -1.0, 1.0, 0.3], np.float32)
    anchor = dfi_jax.Anchor(scores=known, landmarks=detected[0])
    monkeypatch.setattr(
        "dfi_jax.data.landmarks.detect", lambda _, rows, *, points, cache: detected[rows]
    )
    config = dataclasses.replace(high_resolution.Config(dataset="made"), k=5)
    found = high_resolution.choose(dataset, anchor, "older", None, config)
    alike = (scores[:, 0] >= 0) & (scores[:, 1] < 0)
    for rows, side in ((found.target, scores[:, 2] < 0), (found.source, scores[:, 2] >= 0)):
        assert (alike & side)[rows].all()
        candidates = np.flatnonzero(alike & side)
        flags = np.abs((scores[candidates] >= 0) - known).sum(axis=1)
        nearest = candidates[np.argsort(flags, kind="stable")[:20]]
        left = fit_two_scales(detected[nearest], detected[0]).distances
        assert rows.tolist() == nearest[np.argsort(left, kind="stable")[:5]].tolist()
    told = warped_sets.compare_sets(found, anchor)
    assert told["admitted"] == [
        (alike & (scores[:, 2] >= 0)).sum(),
        (alike & (scores[:, 2] < 0)).sum(),
    ]
    apart = (scores[found.target].mean(0) - scores[found.source].mean(0)) / scores.std(0)
    assert told["wanted"] == {"Young": pytest.approx(apart[2], rel=1e-5)}
    strongest = max((0, 1, 3), key=lambda column: abs(apart[column]))
    assert told["other"] == {names[strongest]: pytest.approx(apart[strongest], rel=1e-5)}


def test_images_that_fit_as_they_are_give_the_edit_of_the_square_crop(random_vgg, people):
    recipe = dfi_jax.Recipe().set(
        {
            "features.layers": "conv1_2",
            "features.size": "48",
            "solver.iterations": "2",
        }
    )
    photo, selection = people.read(0), spread(people, "Smiling", k=4)
    sets = [
        (rows, np.broadcast_to(np.eye(2, 3), (len(rows), 2, 3)))
        for rows in (selection.source, selection.target)
    ]
    found = warped_sets.edit_whole(random_vgg, photo, people, sets, recipe, 1.0)
    editor = dfi_jax.Editor(recipe=recipe, weights=random_vgg, cache=None)
    expected = editor.edit(photo, selection, face="whole").pixels[0]
    assert np.abs(expected - photo).max() > 0.02
    # Grey that is taken off and added again rounds the images, and the step to a new image.
    np.testing.assert_allclose(found, expected, atol=5e-4)


def test_the_mask_beside_a_photo_limits_its_change(tmp_path, subject):
    left = np.zeros((45, 65, 3))  # Half of the photo's size.
    left[:, :30] = 1
    path = tmp_path / "me.jpg"
    assert whole_photos.find_mask(path, SIZE) is None
    write(tmp_path / "me-mask.png", left)
    mask = whole_photos.find_mask(path, SIZE)
    edited = 1 - subject.pixels
    masked = high_resolution.finish(dataclasses.replace(subject, mask=mask), edited)
    np.testing.assert_allclose(masked[:, :58], edited[:, :58], atol=1e-6)
    np.testing.assert_allclose(masked[:, 62:], subject.pixels[:, 62:], atol=1e-6)
    assert np.array_equal(high_resolution.finish(subject, edited), edited)


def test_only_a_change_outside_the_crop_is_outside(subject):
    edited = subject.pixels.copy()
    edited[20:70, 40:90] = 0
    assert high_resolution.change_outside(subject, edited) == 0
    edited[:10] += 0.1  # 10 of 90 rows, and the crop covers 50 × 50 pixels.
    expected = 25.5 * 10 * 130 / (90 * 130 - 50 * 50)
    assert high_resolution.change_outside(subject, edited) == pytest.approx(expected, rel=1e-4)


def test_nobody_of_the_person_is_left(people):
    some = high_resolution.only(people, [0, 1, 2, 7], leave_out=1)
    assert some.names == (people.names[2], people.names[7])
    assert np.array_equal(some.read(1), people.read(7))
    assert np.array_equal(some.scores, people.scores[[2, 7]])


def test_an_edit_is_made_once(tmp_path, monkeypatch, subject):
    config = dataclasses.replace(high_resolution.QUICK, out=str(tmp_path))
    made = []

    def make(*_):
        made.append(True)
        return high_resolution.Result(subject.pixels / 2, {"images": 3})

    monkeypatch.setattr(high_resolution, "make_edit", make)
    for settings in (config, config, dataclasses.replace(config, k=3)):
        result = high_resolution.resume(None, subject, None, "older", "whole", settings)
        assert np.array_equal(result.pixels, subject.pixels / 2)
        assert result.facts["images"] == 3
    assert len(made) == 2


def test_the_examples_in_docstrings_hold():
    for module in (high_resolution, whole_photos):
        assert doctest.testmod(module).attempted
        assert not doctest.testmod(module).failed
