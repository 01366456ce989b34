import dataclasses
import json
import time
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.data import near
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.distances import landmark_distance
from dfi_jax.data.rule import Rule
from dfi_jax.data.selection import Anchor, Selection, check_selection, select, spread
from dfi_jax.data.wanted import Wanted
from dfi_jax.errors import InputError
from dfi_jax.network.vgg import VGG, Preprocess
from dfi_jax.network.weights import load_vgg

NAMES = ("Male", "Smiling", "Mouth Slightly Open", "5 o' Clock Shadow")


def dataset(scores=None, *, n=400, seed=0, people=None, faces=None, landmarks=None):
    """Images of noise, or of the faces given, with random scores."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, (n, len(NAMES))).astype(np.float32) if scores is None else scores
    faces = rng.random((len(scores), 8, 8, 3), np.float32) if faces is None else faces
    return Dataset(
        name="made",
        names=tuple(f"{i}.png" for i in range(len(scores))),
        read=lambda i: faces[i],
        attributes=NAMES[: scores.shape[1]],
        scores=scores,
        people=people,
        landmarks=landmarks,
    )


@given(seed=st.integers(0, 1000))
def test_source_has_the_opposite_of_every_attribute_of_the_target(seed):
    data = dataset(seed=seed)
    selection = select(data, "Smiling,~Male", anchor=Anchor(scores=data.scores[0]))
    for rows, sign in ((selection.target, 1), (selection.source, -1)):
        assert (sign * data.scores[rows, 1] >= 0.5).all()
        assert (sign * data.scores[rows, 0] <= -0.5).all()


def test_both_sets_share_what_is_wanted_with_plus_and_minus():
    data = dataset(n=1000)
    wanted = Wanted.parse("Smiling,+male,-mouth_slightly_open")
    selection = select(data, wanted, anchor=Anchor(scores=data.scores[0]))
    for rows, sign in ((selection.target, 1), (selection.source, -1)):
        assert (sign * data.scores[rows, 1] >= 0.5).all()
        assert (data.scores[rows, 0] >= 0.5).all()
        assert (data.scores[rows, 2] < -0.5).all()


@pytest.mark.parametrize("text", ["scores", "scores:all"])
def test_the_nearest_k_are_taken_nearest_first(text):
    data, scores = dataset(), np.zeros(len(NAMES), np.float32)
    nearness = near.parse(text)
    assert str(nearness) == text
    selection = select(data, "Smiling", anchor=Anchor(scores=scores), k=17, near=nearness)
    # The wanted attribute, in the second column, only counts if all attributes do.
    counted = data.scores if text == "scores:all" else np.delete(data.scores, 1, axis=1)
    distances = np.linalg.norm(counted, axis=1)
    members = [row for row in range(400) if data.scores[row, 1] >= 0.5]
    assert selection.target.tolist() == sorted(members, key=lambda row: distances[row])[:17]
    assert len(selection.source) == 17


def test_a_set_has_a_few_images_of_one_person_at_most_and_enough_of_different_ones():
    data = dataset(people=np.arange(400) // 40)
    anchor = Anchor(scores=np.zeros(len(NAMES), np.float32))
    for cap in (3, 2):
        chosen = select(data, "Smiling", anchor=anchor, rule=f"per_person={cap}")
        for rows in (
            chosen.source,
            chosen.target,
            spread(data, "Smiling", rule=chosen.rule).source,
        ):
            assert np.bincount(data.people[rows]).tolist() == [cap] * 10
        everybody = select(data, "Smiling", anchor=anchor, rule="per_person=none")
        nearest = [row for row in everybody.target if data.people[row] == 4]
        assert [row for row in chosen.target if data.people[row] == 4] == nearest[:cap]
    family = dataclasses.replace(data, people=np.arange(400) // 200)
    message = "6 that have it and 6 with the opposite, counting at most 3 of a person, but each set"
    for choose in (select, check_selection):
        with pytest.raises(InputError, match=message):
            choose(family, "Smiling", anchor=anchor)
    assert len(select(family, "Smiling", anchor=anchor, k=6).target) == 6


def test_the_image_itself_and_its_person_are_never_taken():
    people = np.arange(400) // 3
    for known in (people, None):
        data = dataset(people=known)
        selection = select(data, "Smiling", anchor=Anchor(index=7, scores=data.scores[7]))
        taken = np.concatenate([selection.source, selection.target])
        assert 7 not in taken
        assert (6 in taken or 8 in taken) == (known is None)


def test_scores_are_the_default_nearness():
    data = dataset()
    selection = select(data, "Smiling", anchor=Anchor(scores=data.scores[0]))
    assert selection.near == near.scores


def test_nobody_has_more_than_three_images_in_a_set():
    people = np.minimum(np.arange(400), 300)  # The last hundred images show one person.
    data = dataset(people=people)
    selection = select(data, "Smiling", anchor=Anchor(scores=data.scores[0]), k=400)
    everyone = spread(data, "Smiling", k=400)
    for chosen in (selection, everyone):
        for rows, has_it in ((chosen.target, True), (chosen.source, False)):
            shown = people[rows]
            assert np.count_nonzero(shown == 300) == 3
            assert len(shown) == len(set(shown.tolist())) + 2
            members = np.abs(data.scores[:300, 1]) >= 0.5
            members &= (data.scores[:300, 1] > 0) == has_it
            assert np.count_nonzero(shown < 300) == np.count_nonzero(members)


def test_images_for_any_photo_are_spread_from_the_first_to_the_last():
    scores = np.zeros((400, len(NAMES)), np.float32)
    scores[:, 1] = np.where(np.arange(400) % 2, 1, -1)
    selection = spread(dataset(scores), "Smiling", k=5)
    assert selection.source.tolist() == [0, 100, 200, 298, 398]
    assert selection.target.tolist() == [1, 101, 201, 299, 399]
    assert selection.near is None


@pytest.mark.parametrize("share", [2 / 3, 0.4, 1.0])
def test_binary_counts_the_attributes_that_only_one_has_confidently(share):
    data = dataset(n=600)
    anchor = Anchor(index=3, scores=data.scores[3])
    nearness = near.binary if share == 2 / 3 else near.Binary(share)
    selection = select(data, "Smiling", anchor=anchor, near=nearness, k=20)
    positive = [sorted(column[column > 0], reverse=True) for column in data.scores.T]
    on = data.scores >= [column[int(share * len(column) + 1e-9) - 1] for column in positive]
    differing = np.sum(on != on[3], axis=1)
    for rows, sign in ((selection.target, 1), (selection.source, -1)):
        members = (sign * data.scores[:, 1] >= 0.5) & (np.arange(600) != 3)
        assert differing[rows].tolist() == sorted(differing[members])[:20]


def test_pixels_are_compared_face_by_face():
    data = dataset(n=60)
    selection = select(data, "Smiling", anchor=Anchor(face=data.read(11)), k=5)
    assert selection.near == near.pixels
    assert 11 in (selection.target[0], selection.source[0])


def test_features_are_compared_face_by_face_at_the_layer_and_size():
    """The first filter of this network gives the red channel, and the others give 0."""
    kernel = jnp.zeros((3, 3, 3, 64)).at[1, 1, 0, 0].set(1)
    red = VGG(
        params={"conv1_1": {"kernel": kernel, "bias": jnp.zeros(64)}},
        architecture="vgg16",
        preprocess=Preprocess(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        name="red",
        sha256="",
    )
    data = dataset(n=60)
    face, near_red = data.read(11), near.features("conv1_1")
    selection = select(
        data, "Smiling", anchor=Anchor(face=face), k=5, near=near_red, vgg=red, size=8
    )
    differences = np.stack([data.face(i, 8) for i in range(60)])[..., 0] - face[..., 0]
    order = np.argsort(np.linalg.norm(differences.reshape(60, -1), axis=1), kind="stable")
    assert selection.target.tolist() == [i for i in order if data.scores[i, 1] >= 0.5][:5]
    assert selection.source.tolist() == [i for i in order if data.scores[i, 1] < -0.5][:5]


def moved(points, scale, angle, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return points @ np.array([[c, s], [-s, c]]) + shift


def test_landmarks_that_a_similarity_takes_to_the_anchors_are_nearest_among_4k():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 10, (5, 2))
    landmarks = points + rng.normal(0, 3, (400, 5, 2))
    data = dataset(landmarks=landmarks)
    anchor = Anchor(scores=data.scores[0], landmarks=moved(points, 3.0, 0.4, 50))
    candidates = select(data, "Smiling", anchor=anchor, k=40)
    row = candidates.target[33]
    landmarks[row] = moved(points, 0.5, -1.0, -7)
    selection = select(data, "Smiling", anchor=anchor, k=10, near=near.landmarks())
    assert selection.target[0] == row
    assert set(selection.target) <= set(candidates.target)
    found = landmark_distance(landmarks.__getitem__, anchor.landmarks)(np.array([row]))
    np.testing.assert_allclose(found, 0, atol=1e-7)
    landmarks[row] = np.nan
    selection = select(data, "Smiling", anchor=anchor, k=10, near=near.landmarks())
    assert row not in selection.target


def test_candidates_are_chosen_by_the_nearness_that_comes_first():
    rng = np.random.default_rng(0)
    landmarks = rng.normal(0, 10, (400, 5, 2))
    data = dataset()
    face, points = data.read(0), landmarks[0]
    anchor = Anchor(index=0, scores=data.scores[0], face=face, landmarks=points)
    without_scores = dataclasses.replace(anchor, scores=None)
    for first, used in ((near.pixels, anchor), (None, without_scores)):
        nearness = near.landmarks(first=first, candidates=3)
        options = {"k": 10, "near": nearness, "find_landmarks": landmarks.__getitem__}
        selection = select(data, "Smiling", anchor=used, **options)
        candidates = select(data, "Smiling", anchor=anchor, k=30, near=near.pixels)
        distances = landmark_distance(landmarks.__getitem__, points)(candidates.target)
        order = np.argsort(distances, kind="stable")[:10]
        assert selection.target.tolist() == candidates.target[order].tolist()


def test_landmarks_can_be_looked_up_elsewhere():
    rng = np.random.default_rng(0)
    landmarks = rng.normal(0, 10, (400, 5, 2))
    anchor = Anchor(scores=dataset().scores[0], landmarks=landmarks[0])
    options = {"anchor": anchor, "k": 10, "near": near.landmarks()}
    known = select(dataset(landmarks=landmarks), "Smiling", **options)
    found = select(dataset(), "Smiling", **options, find_landmarks=landmarks.__getitem__)
    assert found.target.tolist() == known.target.tolist()


def test_too_few_images_are_counted():
    scores = dataset(n=30).scores
    scores[:, 1] = -1
    scores[:4, 1] = 1
    anchor = Anchor(scores=scores[0])
    for check in (select, check_selection):
        with pytest.raises(InputError, match="4 that have it and 26 with the opposite"):
            check(dataset(scores), "Smiling", anchor=anchor)
    assert len(select(dataset(scores), "Smiling", anchor=anchor, k=4).target) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"attribute": "Smilling"}, "did you mean Smiling"),
        ({"attribute": None}, "names no attribute to change"),
        ({"near": near.scores}, "the scores of the photo are unknown"),
        ({"near": near.binary}, "the scores of the photo are unknown"),
        ({"near": near.landmarks()}, "the landmarks of the photo are unknown"),
        (
            {"near": near.landmarks(), "anchor": Anchor(landmarks=np.eye(5, 2))},
            "the landmarks of the dataset made are unknown",
        ),
        (
            {
                "near": near.features("conv5_1"),
                "anchor": Anchor(face=np.zeros((8, 8, 3), np.float32)),
            },
            "without a network",
        ),
        ({"near": near.features("conv5_1")}, "because the photo's face is unknown"),
        ({"near": near.pixels}, "because the photo's face is unknown"),
    ],
)
def test_what_can_not_be_compared_is_rejected(options, message):
    with pytest.raises(InputError, match=message):
        select(dataset(), **{"attribute": "Smiling", "anchor": Anchor()} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"attribute": "Smilling"}, "did you mean Smiling"),
        ({"near": near.features("conv5_4")}, "vgg16 has no layer 'conv5_4'"),
    ],
)
def test_what_can_not_be_selected_is_known_before_the_photo_is_examined(options, message):
    vgg = load_vgg("random-vgg16")
    defaults = {"attribute": "Smiling", "anchor": Anchor(index=0), "vgg": vgg}
    with pytest.raises(InputError, match=message):
        check_selection(dataset(), **defaults | options)


@pytest.mark.parametrize("nearness", [None, near.scores, near.binary, near.landmarks()])
def test_what_is_still_unknown_about_the_photo_is_not_checked(nearness):
    check_selection(dataset(), "Smiling", anchor=Anchor(index=0), near=nearness)


def test_the_only_attribute_of_a_dataset_is_selected_by_default():
    data = dataset(n=40, faces=np.zeros((40, 8, 8, 3), np.float32))
    single = dataclasses.replace(data, attributes=("Target",), scores=data.scores[:, :1])
    selection = select(single, anchor=Anchor(face=data.read(0)), k=5)
    assert (single.scores[selection.target] > 0).all()
    assert str(selection.wanted) == "Target"


def test_a_selection_records_how_it_was_made():
    data = dataset()
    anchor = Anchor(scores=data.scores[0])
    selection = select(data, "smiling,+MALE", anchor=anchor, k=12)
    record = selection.record()
    assert json.loads(json.dumps(record)) == record
    assert {key: record[key] for key in ("dataset", "wanted", "k", "near")} == {
        "dataset": "made",
        "wanted": "Smiling,+Male",
        "k": 12,
        "near": "scores",
    }
    assert record["target"] == [f"{row}.png" for row in selection.target]
    assert record["source"] == [f"{row}.png" for row in selection.source]
    names = ["dataset", "wanted", "k", "near", "rule", "images_sha256", "source", "target"]
    assert list(record) == names
    assert record["rule"] == selection.rule.to_dict() == Rule(k=12, near=near.scores).to_dict()
    rows = np.concatenate([selection.source, selection.target])
    assert record["images_sha256"] == data.fingerprint(rows)
    again = select(
        data, record["wanted"], anchor=anchor, k=record["k"], near=near.parse(record["near"])
    )
    assert again.record() == record


def test_a_selection_made_by_hand_has_no_nearness():
    selection = Selection(
        dataset=dataset(),
        wanted=Wanted.parse("Smiling"),
        k=2,
        near=None,
        source=np.array([1, 2]),
        target=np.array([3]),
    )
    assert selection.record()["near"] is None
    assert selection.record()["source"] == ["1.png", "2.png"]


def test_a_selection_of_200_000_stays_small():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (200_000, 40)).astype(np.float32)
    data = Dataset(
        name="large",
        names=("",) * 200_000,
        read=lambda i: scores,
        attributes=tuple(f"Attribute {i}" for i in range(40)),
        scores=scores,
        people=np.arange(200_000) // 20,
    )
    tracemalloc.start()
    selection = select(data, "Attribute 3", anchor=Anchor(index=5, scores=scores[5]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(selection.target) == 100
    assert peak < 200e6


def test_faces_come_in_batches_in_their_order():
    data = dataset(n=60)
    rows = np.random.default_rng(3).permutation(60)[:47]
    found = list(data.batches(rows, size=8, batch=10))
    assert [len(batch) for batch in found] == [10, 10, 10, 10, 7]
    expected = np.stack([data.face(row, 8) for row in rows])
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_the_next_faces_are_decoded_while_a_batch_is_used():
    read = []
    data = dataset(n=60)
    slow = dataclasses.replace(data, read=lambda i: (read.append(i), data.read(i))[1])
    batches = slow.batches(np.arange(60), size=8, batch=10)
    next(batches)
    deadline = time.monotonic() + 5
    while len(read) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(read) == list(range(30))
