"""Arguments of the editor reach what they are arguments of."""

import inspect

import numpy as np
import pytest
from builders import make_vector, small_recipe

import dfi_jax
from dfi_jax import Editor, InputError, Job, Unshrunk, near
from dfi_jax.data import synthetic

RECIPE = small_recipe(size=32, iterations=2)
TINY = small_recipe(size=16, layers=("conv1_1",), shrinkage="unshrunk")


@pytest.fixture(scope="module")
def people():
    return synthetic.load(53, size=16)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).random((60, 80, 3)).astype(np.float32)


def make_editor(vgg, recipe=RECIPE, **options):
    return Editor(weights=vgg, recipe=recipe, cache=None, **options)


def test_a_face_is_detected_with_the_points_that_are_asked_for(
    random_vgg, people, pixels, monkeypatch
):
    asked = []
    monkeypatch.setattr("dfi_jax.photo.faces.upright_turn", lambda pixels: None)
    detect = "dfi_jax.photo.faces.detect"
    monkeypatch.setattr(detect, lambda pixels, points: asked.append(points) or [])
    editor, vector = make_editor(random_vgg), make_vector(random_vgg, RECIPE)
    looks = [
        lambda points: editor.edit(pixels, vector, points=points),
        lambda points: editor.vector("Smiling", dataset=people, photo=pixels, points=points),
        lambda points: editor.select("Smiling", dataset=people, photo=pixels, points=points),
        lambda points: editor.scores(pixels, dataset=people, points=points),
    ]
    for look in looks:
        for points in (5, 68):
            with pytest.raises(InputError, match="no face was detected"):
                look(points)
    assert asked == [5, 68] * len(looks)


def test_the_vector_of_a_dataset_is_of_as_many_images_near_the_photo(random_vgg, people, pixels):
    options = {"photo": pixels, "face": "whole", "near": near.Pixels(20), "k": 6}
    options["rule"] = "weights=nearness"
    editor = make_editor(random_vgg, TINY)
    made = editor.vector("Smiling", dataset=people, **options).provenance
    assert (made.near, made.k, made.n_source, made.n_target) == ("pixels:20", 6, 6, 6)
    assert made.rule == "weights=nearness"
    everyone = editor.vector("Smiling", dataset=people, k=6).provenance
    assert (everyone.near, everyone.k, everyone.n_source) == ("", 6, 6)
    assert everyone.rule == "default"


def test_the_vector_of_a_fitted_dataset_is_shrunk_as_the_recipe_says(random_vgg, people):
    editor = make_editor(random_vgg, TINY)
    made = editor.vector("Smiling", dataset=editor.fit(people)).provenance
    assert made.shrinkage == Unshrunk()


@pytest.mark.parametrize("given", [{"rule": "paper"}, {"near": near.pixels}])
def test_a_fitted_dataset_takes_no_rule_and_no_nearness(random_vgg, people, pixels, given):
    editor = make_editor(random_vgg, TINY)
    fitted = editor.fit(people)
    message = " is (paper|pixels) and the dataset is fitted; omit it"
    with pytest.raises(InputError, match=message):
        editor.vector("Smiling", dataset=fitted, **given)
    with pytest.raises(InputError, match=message):
        Job(photo=pixels, attribute="Smiling", dataset=fitted, **given)


def test_the_shortcut_edits_as_its_arguments_say(random_vgg, people, pixels, monkeypatch):
    found = []
    monkeypatch.setattr(Editor, "edit", lambda *given, **options: found.append((given, options)))
    options = {
        "alphas": [0.3, -2.0],
        "dataset": people,
        "rule": "paper",
        "near": near.pixels,
        "k": 7,
        "face": 2,
        "points": 68,
        "warp": True,
        "mask": np.ones((60, 80)),
        "finer": ["smile-400.safetensors"],
        "on_progress": print,
    }
    function = inspect.unwrap(dfi_jax.edit)  # Nothing is edited, so nothing is returned.
    function(pixels, "Smiling", recipe="chainer-dfi", weights=random_vgg, **options)
    (((editor, photo, attribute), given),) = found
    assert photo is pixels
    assert attribute == "Smiling"
    assert editor.recipe == dfi_jax.RECIPES["chainer-dfi"]
    assert editor.vgg is random_vgg
    assert given.keys() == options.keys()
    assert all(given[name] is value for name, value in options.items())


def test_no_more_problems_are_solved_at_a_time_than_asked_for(random_vgg, pixels, monkeypatch):
    given, vector = [], make_vector(random_vgg, RECIPE)

    def reconstruct(vgg, problems, *, recipe, batch_size, on_progress):
        given.append(batch_size)
        return iter(())

    monkeypatch.setattr("dfi_jax.editor.solve.reconstruct", reconstruct)
    for size in (None, 2):
        jobs = [Job(photo=pixels, attribute=vector, face="whole")]
        assert list(make_editor(random_vgg, batch_size=size).edit_many(jobs)) == []
    assert given == [None, 2]
