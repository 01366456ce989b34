"""Arguments of the editor reach what they are arguments of."""

import inspect
import json

import numpy as np
import pytest
from builders import make_unchecked, make_vector, small_recipe

import dfi_jax
from dfi_jax import Editor, InputError, Job, Rule, Unshrunk, load_dataset, near
from dfi_jax.data import synthetic
from dfi_jax.editor.assembly import open_mask
from dfi_jax.editor.job import resolve_rule
from dfi_jax.editor.query import Query, check_images, find_vector
from dfi_jax.photo.choice import locate
from dfi_jax.photo.photo import Photo
from dfi_jax.photo.placement import Placement

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


def vector_of(attribute):
    # The tests' type checks would come first.
    return inspect.unwrap(find_vector)(None, attribute, Query(dataset=None), recipe=RECIPE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inspect.unwrap(resolve_rule)("lfw:x", rule="", near=None, k=1), "'lfw:x'; give"),
        (lambda: inspect.unwrap(Rule.of.__func__)(Rule, None), "the rule is None; give a Rule"),
        (lambda: inspect.unwrap(Rule.of.__func__)(Rule, "", near="pixels"), "near is 'pixels'"),
        (lambda: make_unchecked(Rule, k="5"), "k is '5'; give a whole number"),
        (lambda: make_unchecked(Rule, k=2.5), "k is 2.5; give a whole number"),
        (lambda: inspect.unwrap(load_dataset)(None), "the dataset is None; give a text"),
        (lambda: inspect.unwrap(check_images)("x"), "a fitted dataset has no images"),
        (lambda: vector_of(["older"]), r"attribute is \['older'\]; give a name, several names"),
        (lambda: vector_of({"older": "1"}), "has the strength '1' of 'older'; give a number"),
        (
            lambda: make_unchecked(Job, photo="a", attribute="b", finer=None),
            "finer is None; give a list",
        ),
        (lambda: open_mask(np.ones((40, 60), int)), "the mask is an array of type int64; give"),
    ],
)
def test_an_argument_of_another_type_is_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_numpy_s_numbers_are_a_face_and_truth_values_a_mask(pixels, monkeypatch):
    monkeypatch.setattr("dfi_jax.photo.faces.detect", lambda pixels, points: [])
    monkeypatch.setattr("dfi_jax.photo.faces.upright_turn", lambda pixels: None)
    photo, box = Photo.of(pixels), np.array([10, 5, 60, 55])
    assert locate(photo, box).box == (10, 5, 60, 55)
    assert Job(photo=pixels, attribute="older", face=box).request(RECIPE)["face"] == box.tolist()
    with pytest.raises(InputError, match="no face was detected"):
        locate(photo, np.int64(1))
    with pytest.raises(InputError, match="points is 6; give 5 or 68"):
        inspect.unwrap(locate)(photo, points=6)
    inside = pixels.mean(axis=-1) > 0.5
    np.testing.assert_array_equal(open_mask(inside).pixels[..., 1], inside)


def test_numpy_s_numbers_are_written_as_python_s(pixels, people):
    rule = make_unchecked(Rule, k=np.int64(5), threshold=np.float32(0.5))
    given = {"points": np.int64(5), "warp": np.bool_(False), "face": tuple(np.arange(1, 5))}
    job = make_unchecked(Job, photo=pixels, attribute="a", dataset=people, rule=rule, **given)
    request = json.loads(json.dumps(job.request(RECIPE)))
    assert request["rule"] == Rule(k=5).to_dict()
    assert [request[name] for name in given] == [5, False, [1, 2, 3, 4]]
    rows = tuple(map(tuple, np.eye(2, 3, dtype=np.float32)))
    placement = make_unchecked(Placement, matrix=rows)
    assert json.dumps(placement.to_json()) == "[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]"
    editor = make_unchecked(Editor, recipe=RECIPE, batch_size=np.int64(2))
    assert json.dumps(editor.batch_size) == "2"


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
