import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfi_jax import faces, features, image
from dfi_jax.data import lfw
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.select import Like
from dfi_jax.errors import InputError
from dfi_jax.recipe import Recipe
from dfi_jax.subject import check_selection, cut, describe_subject, find_subject, select_images, vector_between
from dfi_jax.weights import load_vgg

RECIPE = Recipe(layers=("conv1_1",), size=32)


@pytest.fixture(scope="module")
def vgg():
    return load_vgg("random-vgg16")


@pytest.fixture(scope="module")
def dataset(lfw_folder):
    return lfw.load(lfw_folder)


def test_a_photograph_of_the_dataset_has_its_place_its_scores_and_its_number(vgg, dataset):
    subject = find_subject(dataset.folder / dataset.names[3], dataset=dataset)
    assert (subject.place, subject.index) == ((40, 20, 210, 190), 3)
    like = describe_subject(vgg, dataset, subject)
    assert like.index == 3
    np.testing.assert_array_equal(like.scores, dataset.scores[3])
    np.testing.assert_array_equal(like.face, dataset.face(3, 200))


def test_a_stranger_is_all_face_unless_it_is_cropped(dataset, photo):
    assert find_subject(photo, dataset=dataset, align=False).place == (0, 0, 120, 140)
    assert find_subject(photo, crop=(10, 20, 70, 90)).place == (10, 20, 70, 90)
    with pytest.raises(InputError, match="doesn't lie inside the image"):
        find_subject(photo, crop=(10, 20, 121, 90))


def test_the_face_is_found_where_the_extra_is_installed(tmp_path):
    pytest.importorskip("dlib")
    astronaut = pytest.importorskip("skimage.data").astronaut()
    Image.fromarray(astronaut).save(tmp_path / "astronaut.png")
    subject = find_subject(tmp_path / "astronaut.png")
    eyes = np.array([(203.2, 101.5), (246.5, 104.2)])
    expected = np.column_stack([faces.CANONICAL_POINTS[:2], [1, 1]]) @ subject.place.T
    np.testing.assert_allclose(expected, eyes, atol=4)
    assert cut(subject.photograph, subject.place, size=200).shape == (200, 200, 3)


def test_no_face_is_an_error_that_names_the_way_around(photo):
    pytest.importorskip("dlib")
    with pytest.raises(InputError, match=r"no face was found .* `--no-align`"):
        find_subject(photo, align=True)


def test_a_stranger_s_scores_are_estimated_unless_others_decide(vgg, dataset, photo):
    subject = find_subject(photo, align=False)
    assert describe_subject(vgg, dataset, subject).scores.shape == (4,)
    assert describe_subject(vgg, dataset, subject, by="pixels").scores is None


def mean(vgg, dataset, rows):
    return np.mean([features(vgg, jnp.asarray(dataset.face(row, 32))[None], layers=("conv1_1",))["conv1_1"][0]
                    for row in rows], axis=0)  # fmt: skip


def test_a_vector_near_an_image_of_the_dataset_leaves_its_person_out(vgg, dataset):
    index = 3  # the second image of the second person, who smiles
    like = describe_subject(vgg, dataset, find_subject(dataset.folder / dataset.names[index], dataset=dataset))
    selection = select_images(vgg, dataset, ["smiling"], like=like, recipe=RECIPE)
    vector = vector_between(vgg, dataset, ["smiling"], selection, recipe=RECIPE)
    assert vector.provenance.attributes == ("Smiling",)
    assert vector.provenance.note == "nearest by scores"
    assert (vector.provenance.n_source, vector.provenance.n_target) == (24, 22)
    target, source = [i for i in range(48) if i // 2 % 2 and i // 2 != 1], [i for i in range(48) if not i // 2 % 2]
    expected = mean(vgg, dataset, target) - mean(vgg, dataset, source)
    np.testing.assert_allclose(vector.features["conv1_1"], expected, atol=1e-4)


def test_images_near_in_the_features_of_a_layer_are_selected(vgg, dataset, photo):
    subject = find_subject(photo, align=False)
    like = describe_subject(vgg, dataset, subject, by="conv1_1")
    chosen = select_images(vgg, dataset, ["Smiling"], like=like, k=3, by="conv1_1", recipe=RECIPE)

    def phi(face):
        return features(vgg, jnp.asarray(face)[None], layers=("conv1_1",))["conv1_1"]

    own = phi(image.resize(like.face, (32, 32)))
    distance = [float(jnp.linalg.norm(phi(dataset.face(i, 32)) - own)) for i in range(48)]
    smiling = sorted((i for i in range(48) if i // 2 % 2), key=distance.__getitem__)
    assert chosen.target.tolist() == smiling[:3]
    with pytest.raises(InputError, match="vgg16 has no layer 'conv9_1'"):
        select_images(vgg, dataset, ["Smiling"], like=like, by="conv9_1", recipe=RECIPE)


def test_means_are_computed_once_for_what_they_depend_on(vgg, dataset, photo):
    like = describe_subject(vgg, dataset, find_subject(photo, align=False), by="pixels")
    selection = select_images(vgg, dataset, ["Smiling"], like=like, k=10, recipe=RECIPE)
    done = []

    def vector(recipe=RECIPE, network=vgg):
        done.clear()
        return vector_between(
            network, dataset, ["Smiling"], selection, recipe=recipe, on_progress=lambda *counts: done.append(counts)
        )

    first = vector()
    assert done == [(10, 20), (20, 20)]
    again = vector()
    assert done == []
    np.testing.assert_array_equal(first.features["conv1_1"], again.features["conv1_1"])
    for change in ({"size": 48}, {"layers": ("conv1_2",)}, {"feature_norm": "l2"}):
        vector(RECIPE.replace(**change))
        assert done, change
    vector(network=load_vgg("random-vgg16", seed=1))
    assert done
    vector(network=load_vgg("random-vgg16", pooling="average"))
    assert done


def test_a_photograph_of_a_dataset_with_landmarks_is_where_they_are(vgg, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((178, 218), Image.Resampling.BICUBIC).save(tmp_path / "1.png")
    points = np.array([(69.5, 111.3), (107.7, 111.2), (88.2, 135.5), (72, 152), (105.5, 152)])[None]
    dataset = Dataset("aligned", ("1.png",), lambda i: image.read(tmp_path / "1.png"), ("Smiling", "Young"),
                      np.ones((1, 2), np.float32), landmarks=points, folder=tmp_path)  # fmt: skip
    subject = find_subject(tmp_path / "1.png", dataset=dataset)
    np.testing.assert_array_equal(subject.place, faces.placement(points[0]))
    like = describe_subject(vgg, dataset, subject, by="landmarks")
    np.testing.assert_array_equal(like.landmarks, points[0])
    np.testing.assert_allclose(like.face, dataset.face(0, 200))


def test_one_score_says_nothing_of_a_photograph(vgg, dataset):
    lists = dataclasses.replace(dataset, attributes=("Target",), scores=dataset.scores[:, 1:2])
    subject = find_subject(lists.folder / lists.names[3], dataset=lists)
    like = describe_subject(vgg, lists, subject)
    assert (like.index, like.scores) == (3, None)
    assert select_images(vgg, lists, ["Target"], like=like, k=3, recipe=RECIPE).by == "pixels"


def test_landmarks_are_looked_for_where_a_dataset_has_none(vgg, dataset, monkeypatch):
    shapes = np.random.default_rng(0).normal(0, 5, (48, 5, 2))
    asked = []

    def detect(of, rows, on_progress=None):
        asked.extend(rows)
        return shapes[rows]

    monkeypatch.setattr("dfi_jax.data.landmarks.detect", detect)
    monkeypatch.setattr("dfi_jax.faces.are_found", lambda: True)
    like = Like(scores=dataset.scores[0], landmarks=shapes[5])
    chosen = select_images(vgg, dataset, ["Smiling"], like=like, k=3, by="landmarks", recipe=RECIPE)
    candidates = select_images(vgg, dataset, ["Smiling"], like=like, k=12, recipe=RECIPE)
    assert sorted(asked) == sorted([*candidates.source, *candidates.target])
    assert set(chosen.target) <= set(candidates.target)
    lists = Like(face=dataset.face(0, 200), landmarks=shapes[5])
    assert len(select_images(vgg, dataset, ["Smiling"], like=lists, k=3, by="landmarks", recipe=RECIPE).target) == 3


def test_a_face_s_number_needs_a_search(dataset, photo):
    with pytest.raises(InputError, match="none is looked for"):
        find_subject(photo, align=False, number=2)
    with pytest.raises(InputError, match="none is looked for"):
        find_subject(photo, crop=(0, 0, 50, 50), number=1)


def test_what_selection_refuses_is_known_at_once(vgg, dataset, photo):
    subject = find_subject(photo, align=False)
    for options, message in (
        ({"by": "taste"}, "choose from scores, binary, pixels, landmarks, or name a layer"),
        ({"by": "features"}, "or name a layer, such as conv5_1"),
        ({"by": "conv9_1"}, "has no layer 'conv9_1'"),
        ({"k": 0}, "k is 0"),
    ):
        with pytest.raises(InputError, match=message):
            check_selection(vgg, dataset, ["Smiling"], subject=subject, **options)
    check_selection(vgg, dataset, ["Smiling"], subject=subject, by="binary", k=5)
