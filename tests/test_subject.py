import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dfi_jax import faces, features, image
from dfi_jax.data import lfw
from dfi_jax.errors import InputError
from dfi_jax.recipe import Recipe
from dfi_jax.subject import cut, describe_subject, find_subject, select_images, vector_between
from dfi_jax.weights import load_vgg

RECIPE = Recipe(layers=("conv1_1",), size=32)


@pytest.fixture(scope="module")
def vgg():
    return load_vgg("random-vgg16")


@pytest.fixture(scope="module")
def dataset(lfw_folder):
    return lfw.load(lfw_folder)


@pytest.fixture
def stranger(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    path = tmp_path / "me.png"
    Image.fromarray(noise).resize((120, 140), Image.Resampling.BICUBIC).save(path)
    return path


def test_a_photograph_of_the_dataset_has_its_place_its_scores_and_its_number(vgg, dataset):
    subject = find_subject(dataset.folder / dataset.names[3], dataset=dataset)
    assert (subject.place, subject.index) == ((40, 20, 210, 190), 3)
    like = describe_subject(vgg, dataset, subject)
    assert like.index == 3
    np.testing.assert_array_equal(like.scores, dataset.scores[3])
    np.testing.assert_array_equal(like.face, dataset.face(3, 200))


def test_a_stranger_is_all_face_unless_it_is_cropped(dataset, stranger):
    assert find_subject(stranger, dataset=dataset, align=False).place == (0, 0, 120, 140)
    assert find_subject(stranger, crop=(10, 20, 70, 90)).place == (10, 20, 70, 90)
    with pytest.raises(InputError, match="doesn't lie inside the image"):
        find_subject(stranger, crop=(10, 20, 121, 90))


def test_the_face_is_found_where_the_extra_is_installed(tmp_path):
    pytest.importorskip("dlib")
    astronaut = pytest.importorskip("skimage.data").astronaut()
    Image.fromarray(astronaut).save(tmp_path / "astronaut.png")
    subject = find_subject(tmp_path / "astronaut.png")
    eyes = np.array([(203.2, 101.5), (246.5, 104.2)])
    expected = np.column_stack([faces.CANONICAL_POINTS[:2], [1, 1]]) @ subject.place.T
    np.testing.assert_allclose(expected, eyes, atol=4)
    assert cut(subject.photograph, subject.place, size=200).shape == (200, 200, 3)


def test_no_face_is_an_error_that_names_the_way_around(stranger):
    pytest.importorskip("dlib")
    with pytest.raises(InputError, match=r"no face was found .* `--no-align`"):
        find_subject(stranger, align=True)


def test_a_stranger_s_scores_are_estimated_unless_others_decide(vgg, dataset, stranger):
    subject = find_subject(stranger, align=False)
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


def test_images_near_in_the_features_of_a_layer_are_selected(vgg, dataset, stranger):
    subject = find_subject(stranger, align=False)
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


def test_means_are_computed_once_for_what_they_depend_on(vgg, dataset, stranger):
    like = describe_subject(vgg, dataset, find_subject(stranger, align=False), by="pixels")
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
