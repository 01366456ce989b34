from dataclasses import astuple, replace

import numpy as np
import pytest

from dfi_jax.data import near, synthetic
from dfi_jax.data.selection import Anchor, select
from dfi_jax.data.synthetic import ATTRIBUTES, PLAIN, Identity
from dfi_jax.errors import InputError
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement

# Nothing changes outside these boxes (x0, y0, x1, y1) of the canonical crop.
REGIONS = {
    "Smiling": (45, 98, 156, 188),
    "Mouth Slightly Open": (68, 148, 134, 192),
    "Eyeglasses": (38, 85, 162, 140),
    "Beard": (35, 105, 165, 200),
    "Mustache": (64, 138, 138, 178),
    "Young": (25, 10, 175, 200),
    "Blond Hair": (25, 10, 175, 200),
}


def unposed(seed):
    return replace(synthetic.identity(seed), shift_x=0, shift_y=0, roll=0, zoom=0)


def changed(attribute, score):
    return np.where([name == attribute for name in ATTRIBUTES], np.float32(score), PLAIN)


def strengths(attribute):
    """Scores from absent to most visible; of youth, the absence is visible."""
    return np.array([-1, 0, 0.5, 1, 1.5, 2]) * (-1 if attribute == "Young" else 1)


def test_an_image_is_float32_in_range_and_the_same_every_time():
    who = synthetic.identity(3)
    first, again = (synthetic.render(who, PLAIN, size=90) for _ in range(2))
    assert first.dtype == np.float32
    assert first.shape == (90, 90, 3)
    assert 0 <= first.min() < 0.2 < 0.7 < first.max() <= 1
    np.testing.assert_array_equal(first, again)


def test_photos_of_a_person_differ_only_in_the_parameters_of_the_photo():
    one, other = (synthetic.identity((1, 7), photo=k) for k in (0, 1))
    assert one == synthetic.identity((1, 7))
    same = [a == b for a, b in zip(astuple(one), astuple(other), strict=True)]
    names = list(Identity.__dataclass_fields__)
    assert [name for name, equal in zip(names, same, strict=True) if not equal] == names[
        names.index("light_x") :
    ]
    assert all(-1 <= number <= 1 for number in astuple(one)[1:])


def test_people_look_different():
    images = [synthetic.render(unposed(seed), PLAIN, size=60)[20:50, 15:45] for seed in range(8)]
    for i in range(8):
        assert min(np.abs(images[i] - images[j]).mean() for j in range(i)) > 0.02 if i else True


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_with_and_without_an_attribute_everything_else_is_equal(attribute):
    x0, y0, x1, y1 = REGIONS[attribute]
    outside = np.ones((200, 200), bool)
    outside[y0:y1, x0:x1] = False
    for seed in (0, 3):
        who, (absent, *_, most) = unposed(seed), strengths(attribute)
        difference = np.abs(
            synthetic.counterfactual(who, PLAIN, attribute, float(most))
            - synthetic.counterfactual(who, PLAIN, attribute, float(absent))
        ).max(axis=2)
        assert not difference[outside].any()
        assert difference.max() > 0.2


def test_the_colour_of_hair_does_not_change_the_eyes_nose_and_mouth():
    who = unposed(2)
    blond, dark = (
        synthetic.counterfactual(who, PLAIN, "blond hair", score) for score in (2.0, -2.0)
    )
    np.testing.assert_array_equal(blond[104:180, 66:134], dark[104:180, 66:134])


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_change_grows_with_the_score(attribute):
    absent, *scores = strengths(attribute)
    for seed in (4, 5):
        who = synthetic.identity(seed)
        without = synthetic.render(who, changed(attribute, absent), size=64)
        change = [
            np.square(synthetic.render(who, changed(attribute, s), size=64) - without).sum()
            for s in scores
        ]
        assert (np.diff(change) > 0).all()


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_small_step_of_the_score_is_a_small_step_of_the_image(attribute):
    who = synthetic.identity(6)
    for score in (-0.5, 0.0, 0.7):
        step = synthetic.render(who, changed(attribute, score), size=64)
        step = step - synthetic.render(who, changed(attribute, score + 0.01), size=64)
        assert np.abs(step).max() < 0.05


def test_an_attribute_that_is_absent_stays_absent():
    who = synthetic.identity(1)
    for attribute in ATTRIBUTES:
        scores = (-2, -0.5) if attribute != "Young" else (2, 0.5)
        one, other = (synthetic.render(who, changed(attribute, score), size=50) for score in scores)
        np.testing.assert_array_equal(one, other)


def test_the_mean_face_has_the_canonical_points():
    np.testing.assert_allclose(synthetic.landmarks(Identity(), PLAIN), CANONICAL_POINTS)
    np.testing.assert_allclose(
        synthetic.landmarks(Identity(), PLAIN, size=480, margin=20),
        (CANONICAL_POINTS + 20.5) * 2 - 0.5,
    )


def test_a_smile_widens_and_raises_the_mouth():
    rest, smile = (synthetic.landmarks(Identity(), changed("Smiling", score)) for score in (-1, 2))
    np.testing.assert_array_equal(rest[:3], smile[:3])
    assert smile[3, 0] < rest[3, 0] < rest[4, 0] < smile[4, 0]
    assert (smile[3:, 1] < rest[3:, 1]).all()


@pytest.mark.parametrize("seed", range(4))
def test_eyes_are_dark_at_their_landmarks(seed):
    who = replace(synthetic.identity(seed), gaze=0)
    image = synthetic.render(who, PLAIN).mean(axis=2)
    y, x = np.mgrid[:200, :200]
    for ex, ey in synthetic.landmarks(who, PLAIN)[:2]:
        darkness = np.where(np.hypot(x - ex, y - ey) < 8, np.maximum(0.25 - image, 0) ** 2, 0)
        # Lashes, which are dark too, draw the mean up.
        assert abs((darkness * x).sum() / darkness.sum() - ex) < 1
        assert -3 < (darkness * y).sum() / darkness.sum() - ey < 1


@pytest.mark.parametrize("seed", range(3))
def test_faces_aligned_by_their_landmarks_are_the_face_without_a_pose(seed):
    for scores in (PLAIN, changed("Smiling", 2)):
        posed, straight = synthetic.identity(seed), unposed(seed)
        one, other = (
            Placement.from_landmarks(synthetic.landmarks(who, scores)).crop(
                synthetic.render(who, scores)
            )
            for who in (posed, straight)
        )
        # The light doesn't turn with the head, and grain moves.
        assert np.abs(one - other)[70:180, 60:140].mean() < 0.02
        assert np.corrcoef(one[70:180, 60:140].ravel(), other[70:180, 60:140].ravel())[0, 1] > 0.98


def test_a_face_is_the_same_at_any_size():
    scores = np.full(7, 1.5, np.float32)
    large, small = (
        synthetic.render(synthetic.identity(9), scores, size=size) for size in (400, 200)
    )
    reduced = large.reshape(200, 2, 200, 2, 3).mean(axis=(1, 3))
    assert np.abs(reduced - small).mean() < 0.01


def test_a_margin_shows_more_of_the_same_image():
    who = synthetic.identity(2)
    wide, close = synthetic.render(who, PLAIN, size=240, margin=20), synthetic.render(who, PLAIN)
    # The outermost pixels differ, because their slope is one-sided.
    np.testing.assert_allclose(wide[22:218, 22:218], close[2:198, 2:198], atol=1e-3)


def test_images_of_a_dataset_do_not_depend_on_its_length():
    few, many = synthetic.load(3, seed=5, size=50), synthetic.load(8, seed=5, size=50)
    assert (len(few), len(many)) == (3, 8)
    assert few.names == many.names[:3]
    assert len(set(many.names)) == 8
    assert many.people.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    np.testing.assert_array_equal(few.scores, many.scores[:3])
    np.testing.assert_array_equal(few.landmarks, many.landmarks[:3])
    np.testing.assert_array_equal(few.read(2), many.read(2))
    assert not np.array_equal(few.read(0), synthetic.load(1, seed=6, size=50).read(0))


def test_an_image_of_a_dataset_is_its_person_rendered():
    dataset = synthetic.load(4, seed=5, size=50)
    who = synthetic.identity((5, 1), photo=1)
    expected = synthetic.render(who, dataset.scores[3], size=60, margin=synthetic.MARGIN)
    np.testing.assert_array_equal(dataset.read(3), expected)


def test_a_face_of_a_dataset_is_aligned_and_whole():
    dataset = synthetic.load(12, size=64)
    for i in range(12):
        face = dataset.face(i, 64)
        assert face.shape == (64, 64, 3)
        corners = face[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.max(axis=1).min() > 0.02, "pixels outside a photo would be black"


def test_scores_are_balanced_bounded_and_related_as_documented():
    scores = synthetic.load(1500, size=16).scores
    assert scores.dtype == np.float32
    assert np.abs(scores).max() == 2
    assert (np.abs((scores > 0).mean(axis=0) - 0.5) < 0.05).all()
    related = np.corrcoef(scores.T)
    smiling, opened, glasses, beard, moustache, young, blond = range(7)
    expected = np.eye(7)
    for i, j, value in ((smiling, opened, 0.4), (beard, moustache, 0.4), (glasses, young, -0.2)):
        expected[i, j] = expected[j, i] = value
    # The standard error is 1/√1500 = 0.026, and clipping weakens correlations.
    np.testing.assert_allclose(related, expected, atol=0.1)
    assert blond == 6


def test_attributes_can_be_selected_by_every_nearness_that_needs_no_network():
    dataset = synthetic.load(120, size=32)
    anchor = Anchor(
        index=0,
        scores=dataset.scores[0],
        face=dataset.face(0, 32),
        landmarks=dataset.landmarks[0],
    )
    for nearness in (near.scores, near.binary, near.pixels, near.landmarks()):
        chosen = select(dataset, "Eyeglasses", anchor=anchor, k=10, near=nearness)
        assert (dataset.scores[chosen.target, 2] > 0).all()
        assert (dataset.scores[chosen.source, 2] < 0).all()
        assert not {0, 1} & {*chosen.source.tolist(), *chosen.target.tolist()}


def test_the_attributes_are_seen_in_people_never_seen():
    dataset = synthetic.load(200, seed=3, size=32)
    pixels = np.stack([dataset.face(i, 32).ravel() for i in range(200)])
    mean, scores = pixels[:150].mean(axis=0), dataset.scores
    known, new = pixels[:150] - mean, pixels[150:] - mean
    ridge = np.linalg.solve(
        known @ known.T + 3 * np.eye(150), scores[:150] - scores[:150].mean(axis=0)
    )
    right = ((new @ known.T @ ridge > 0) == (scores[150:] > 0)) & (np.abs(scores[150:]) > 0.5)
    share = right.sum(axis=0) / (np.abs(scores[150:]) > 0.5).sum(axis=0)
    assert share.mean() > 0.8  # A coin's would be over 0.65 once in a hundred.
    assert share.min() > 0.65


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthetic.load(0), "would have 0 images"),
        (lambda: synthetic.load(2, size=8), "images is 8; give 16 to 8000"),
        (lambda: synthetic.load(2, seed=-1), "should be 0 or more"),
        (lambda: synthetic.identity(-1), "seed -1"),
        (lambda: synthetic.identity(0, photo=-2), "photo -2"),
        (lambda: synthetic.render(Identity(), PLAIN, size=0), "size 0"),
        (lambda: synthetic.render(Identity(), PLAIN, margin=-1), "margin -1"),
        (
            lambda: synthetic.render(Identity(), PLAIN[:3]),
            "should be 7 numbers from −2 to 2, for Smiling",
        ),
        (lambda: synthetic.render(Identity(), PLAIN * 3), "7 numbers from −2 to 2"),
        (
            lambda: synthetic.landmarks(Identity(), PLAIN * np.float32(np.nan)),
            "7 numbers from −2 to 2",
        ),
        (
            lambda: synthetic.counterfactual(Identity(), PLAIN, "Smileing", 1.0),
            "did you mean Smiling",
        ),
        (
            lambda: synthetic.counterfactual(Identity(), PLAIN, "Smiling", 3.0),
            "7 numbers from −2 to 2",
        ),
    ],
)
def test_what_cannot_be_drawn_is_rejected_in_a_sentence(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert str(error.value).endswith((".", "?"))
    assert "\n" not in str(error.value)
