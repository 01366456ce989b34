import dataclasses
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.select import (
    Like,
    admitted,
    confident,
    find_attribute,
    having,
    landmark_distance,
    parse_attributes,
    select,
    thresholded,
)
from dfi_jax.errors import InputError

NAMES = ("Male", "Smiling", "Mouth Slightly Open", "5 o' Clock Shadow")


def dataset(scores=None, *, n=400, seed=0, people=None, faces=None, landmarks=None):
    """Images of noise, or of the faces given, with random scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (n, len(NAMES))).astype(np.float32) if scores is None else scores
    faces = rng.random((len(scores), 8, 8, 3), np.float32) if faces is None else faces
    names = tuple(f"{i}.png" for i in range(len(scores)))
    attributes = NAMES[: scores.shape[1]]
    return Dataset("made", names, lambda i: faces[i], attributes, scores, people, landmarks)


@pytest.mark.parametrize(
    "name", ["Mouth Slightly Open", "mouth_slightly_open", "MOUTHSLIGHTLYOPEN", " mouth slightly_Open"]
)
def test_case_spaces_and_underscores_do_not_matter(name):
    assert find_attribute(name, NAMES) == 2


def test_a_misspelt_attribute_gets_the_nearest_names():
    with pytest.raises(InputError, match="no attribute 'Smilling'; did you mean Smiling"):
        find_attribute("Smilling", NAMES)


def test_attributes_are_separated_by_commas():
    assert parse_attributes("Smiling, ~ Mouth Slightly Open") == ("Smiling", "~Mouth Slightly Open")
    assert parse_attributes("+Young,-Male,Smiling") == ("+Young", "-Male", "Smiling")
    for text in ("", " , ", "~", "+Young,-Male", "Smiling,+"):
        with pytest.raises(InputError, match="names no attribute to change"):
            parse_attributes(text)


def test_the_thresholds_are_those_of_the_article():
    column = np.array([[0.5], [0.49], [-0.5], [-0.51]], np.float32)
    has, opposite = having(thresholded(column), ["Smiling"], ["Smiling"])
    assert has.tolist() == [True, False, False, False]
    assert opposite.tolist() == [False, False, False, True]


def test_the_confident_are_the_upper_two_thirds_of_each_sign():
    column = np.array([[1], [2], [3], [4], [5], [6], [-1], [-2], [-3], [0]], np.float32)
    on, off = confident(column)
    assert column[on].tolist() == [3, 4, 5, 6]
    assert column[off].tolist() == [-2, -3]
    flags = np.array([[1], [1], [-1], [1]], np.float32)
    on, off = confident(flags)
    assert on.ravel().tolist() == [True, True, False, True]
    assert off.ravel().tolist() == [False, False, True, False]


@given(seed=st.integers(0, 1000))
def test_source_has_the_opposite_of_every_attribute_of_the_target(seed):
    data = dataset(seed=seed)
    chosen = select(data, attributes=["Smiling", "~Male"], like=Like(scores=data.scores[0]))
    for rows, sign in ((chosen.target, 1), (chosen.source, -1)):
        assert (sign * data.scores[rows, 1] >= 0.5).all()
        assert (sign * data.scores[rows, 0] <= -0.5).all()


def test_both_sets_share_what_is_wanted_with_plus_and_minus():
    data = dataset(n=1000)
    chosen = select(data, attributes=["Smiling", "+male", "-mouth_slightly_open"], like=Like(scores=data.scores[0]))
    for rows, sign in ((chosen.target, 1), (chosen.source, -1)):
        assert (sign * data.scores[rows, 1] >= 0.5).all()
        assert (data.scores[rows, 0] >= 0.5).all()
        assert (data.scores[rows, 2] < -0.5).all()


def test_the_nearest_k_are_taken_nearest_first():
    data, like = dataset(), np.zeros(len(NAMES), np.float32)
    chosen = select(data, attributes=["Smiling"], like=Like(scores=like), k=17)
    distances = np.linalg.norm(data.scores - like, axis=1)
    expected = sorted((row for row in range(400) if data.scores[row, 1] >= 0.5), key=lambda row: distances[row])[:17]
    assert chosen.by == "scores"
    assert chosen.target.tolist() == expected
    assert len(chosen.source) == 17


def test_the_image_itself_and_its_person_are_never_taken():
    people = np.arange(400) // 3
    for who in (people, None):
        data = dataset(people=who)
        chosen = select(data, attributes=["Smiling"], like=Like(index=7, scores=data.scores[7]))
        taken = np.concatenate([chosen.source, chosen.target])
        assert 7 not in taken
        assert (6 in taken or 8 in taken) == (who is None)


def test_binary_counts_the_attributes_that_differ_among_the_same_gender():
    data = dataset(n=600)
    like = data.scores[3]
    chosen = select(data, attributes=["Smiling"], like=Like(index=3, scores=like), by="binary", k=20)
    least = [sorted(c[c > 0])[round(np.ceil((np.sum(c > 0) - 1) / 3))] for c in data.scores.T]
    on = data.scores >= least
    for rows, wanted in ((chosen.target, on[:, 1]), (chosen.source, confident(data.scores).off[:, 1])):
        assert wanted[rows].all()
        assert ((data.scores[rows, 0] > 0) == (like[0] > 0)).all()
        allowed = wanted & ((data.scores[:, 0] > 0) == (like[0] > 0)) & (np.arange(600) != 3)
        differing = np.sum(on != on[3], axis=1)
        assert differing[rows].tolist() == sorted(differing[allowed])[:20]


def test_pixels_and_features_are_compared_face_by_face():
    data = dataset(n=60)
    face = data.read(11)
    chosen = select(data, attributes=["Smiling"], like=Like(face=face), k=5)
    assert chosen.by == "pixels"
    assert 11 in (chosen.target[0], chosen.source[0])
    mean_red = np.asarray([data.face(i, 8)[..., 0].mean() for i in range(60)])
    chosen = select(data, attributes=["Smiling"], like=Like(face=face), k=5, by="features", size=8,
                    describe=lambda faces: faces[..., 0].mean(axis=(1, 2))[:, None])  # fmt: skip
    order = np.argsort(np.abs(mean_red - mean_red[11]), kind="stable")
    assert chosen.target.tolist() == [i for i in order if data.scores[i, 1] >= 0.5][:5]


def moved(points, scale, angle, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return points @ np.array([[c, s], [-s, c]]) + shift


def test_landmarks_that_a_similarity_takes_to_the_own_are_nearest_among_4k():
    rng = np.random.default_rng(0)
    own = rng.normal(0, 10, (5, 2))
    landmarks = own + rng.normal(0, 3, (400, 5, 2))
    data = dataset(landmarks=landmarks)
    like = Like(scores=data.scores[0], landmarks=moved(own, 3.0, 0.4, 50))
    near = select(data, attributes=["Smiling"], like=like, k=40)
    near_row = near.target[33]
    landmarks[near_row] = moved(own, 0.5, -1.0, -7)
    chosen = select(data, attributes=["Smiling"], like=like, k=10, by="landmarks")
    assert chosen.target[0] == near_row
    assert set(chosen.target) <= set(near.target)
    found = landmark_distance(landmarks.__getitem__, like.landmarks)(np.array([near_row]))
    np.testing.assert_allclose(found, 0, atol=1e-7)
    landmarks[near_row] = np.nan
    assert near_row not in select(data, attributes=["Smiling"], like=like, k=10, by="landmarks").target


def test_the_landmark_distance_is_what_the_best_similarity_leaves():
    rng = np.random.default_rng(1)
    p, q = rng.normal(0, 5, (1, 5, 2)), rng.normal(0, 5, (5, 2))
    x, y = p[0].T
    columns = np.concatenate(
        [np.stack([x, -y, np.ones(5), np.zeros(5)], 1), np.stack([y, x, np.zeros(5), np.ones(5)], 1)]
    )
    _, residual, *_ = np.linalg.lstsq(columns, np.concatenate([q[:, 0], q[:, 1]]), rcond=None)
    expected = np.sqrt(residual[0]) / np.linalg.norm(q - q.mean(axis=0))
    np.testing.assert_allclose(landmark_distance(p.__getitem__, q)(np.array([0])), expected, rtol=1e-9)


def test_too_few_images_are_counted():
    scores = dataset(n=30).scores
    scores[:, 1] = -1
    scores[:4, 1] = 1
    with pytest.raises(InputError, match="4 have it and 26 have the opposite"):
        select(dataset(scores), attributes=["Smiling"], like=Like(scores=scores[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"by": "taste"}, "can't be selected by 'taste'; choose from scores, binary"),
        ({"by": "scores"}, "the scores of the edited image are not known"),
        ({"by": "binary"}, "the scores of the edited image are not known"),
        ({"by": "landmarks"}, "those of the edited image are not known"),
        ({"by": "landmarks", "like": Like(landmarks=np.eye(5, 2))}, "those of made are not known"),
        ({"by": "features", "like": Like(face=np.zeros((8, 8, 3), np.float32))}, "without a network"),
        ({"by": "pixels"}, "without the edited image's face"),
    ],
)
def test_what_can_not_be_compared_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        select(dataset(), **{"attributes": ["Smiling"], "like": Like()} | options)


def test_a_selection_of_200_000_stays_small():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (200_000, 40)).astype(np.float32)
    attributes = tuple(f"Attribute {i}" for i in range(40))
    data = Dataset("large", ("",) * 200_000, lambda i: scores, attributes, scores, people=np.arange(200_000) // 20)
    tracemalloc.start()
    chosen = select(data, attributes=["Attribute 3"], like=Like(index=5, scores=scores[5]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(chosen.target) == 100
    assert peak < 200e6


def test_faces_come_in_batches_in_their_order():
    data = dataset(n=60)
    rows = np.random.default_rng(3).permutation(60)[:47]
    found = list(data.batches(rows, size=8, batch=10))
    assert [len(batch) for batch in found] == [10, 10, 10, 10, 7]
    np.testing.assert_array_equal(np.concatenate(found), np.stack([data.face(row, 8) for row in rows]))


def test_the_next_faces_are_decoded_while_a_batch_is_used():
    read = []
    data = dataset(n=60)
    slow = Dataset("slow", data.names, lambda i: (read.append(i), data.read(i))[1], data.attributes, data.scores)
    batches = slow.batches(np.arange(60), size=8, batch=10)
    next(batches)
    deadline = time.monotonic() + 5
    while len(read) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(read) == list(range(30))


def test_binary_takes_both_genders_where_gender_is_wanted_and_knows_it_in_any_case():
    data = dataset(n=600)
    chosen = select(data, attributes=["male"], like=Like(scores=data.scores[0]), by="binary", k=20)
    assert (data.scores[chosen.target, 0] > 0).all()
    assert (data.scores[chosen.source, 0] < 0).all()
    lower = dataclasses.replace(data, attributes=("male", *NAMES[1:]))
    rows = admitted(lower, ["Smiling"], like=Like(scores=data.scores[0]), by="binary")
    assert all(((data.scores[part, 0] > 0) == (data.scores[0, 0] > 0)).all() for part in rows)


def test_a_dataset_without_scores_has_no_attributes_to_choose_from():
    with pytest.raises(InputError, match="in a dataset without scores"):
        find_attribute("Smiling", ())
