import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from commands import dfi, fails

from dfi_jax import attribute
from dfi_jax.editor import Request, edit_face, edit_faces
from dfi_jax.photo.image import read
from dfi_jax.recipe import Recipe
from dfi_jax.network.vgg import feature_shapes
from dfi_jax.network.weights import load_vgg

pytestmark = pytest.mark.usefixtures("without_faces")

OPTIONS = ["--weights", "random-vgg16", "--iterations", "2"]


def make_vector(vgg, recipe, seed=0):
    rng = np.random.default_rng(seed)
    shapes = feature_shapes(vgg.architecture, recipe.layers, (recipe.size, recipe.size))
    w = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    made = attribute.Provenance("tests", ("Smiling",), 1, 1, 1, vgg.name, vgg.sha256, recipe.layers, recipe.size)
    return attribute.AttributeVector(w, made)


@pytest.fixture
def folder(photo, tmp_path):
    """A folder with two photographs, two vectors, and a manifest of three edits."""
    vgg = load_vgg("random-vgg16")
    for i, name in enumerate(("smile", "frown")):
        attribute.save(tmp_path / f"{name}.safetensors", make_vector(vgg, Recipe(), i), dtype="int8")
    shutil.copy(photo, tmp_path / "you.png")
    write(
        tmp_path,
        {"photo": "me.png", "vector": "smile.safetensors", "alphas": [0.1, 0.3]},
        {"photo": "you.png", "vector": "frown.safetensors"},
        {"photo": "me.png", "vector": "frown.safetensors", "crop": [10, 10, 110, 110], "name": "my-face"},
    )
    return tmp_path


def write(folder, *jobs):
    text = "\n".join(job if isinstance(job, str) else json.dumps(job) for job in jobs)
    (folder / "jobs.jsonl").write_text(text)
    return folder / "jobs.jsonl"


def test_requests_in_one_queue_are_edited_as_each_alone(photo):
    vgg = load_vgg("random-vgg16")
    recipe = Recipe(layers=("conv1_2", "conv2_1"), size=16, iterations=6)
    vectors = [make_vector(vgg, recipe, seed) for seed in range(2)]
    picture = read(photo)
    requests = [
        Request(picture, vectors[0], (0.1, 0.3)),
        Request(picture, vectors[1], (0.2,), (10, 10, 80, 80)),
        Request(picture[::-1].copy(), vectors[0], (-0.2, 0.4, 0.5)),
    ]
    found = dict(edit_faces(vgg, requests, recipe=recipe, batch_size=2))
    assert sorted(found) == [0, 1, 2]
    for number, request in enumerate(requests):
        alone = edit_face(
            vgg, request.photograph, request.vector, alphas=request.alphas, recipe=recipe, place=request.place
        )
        np.testing.assert_allclose(found[number].photographs, alone.photographs, atol=1e-3)
        np.testing.assert_allclose(found[number].history, alone.history, rtol=1e-3)


def test_every_line_gets_its_folder_and_a_second_run_does_nothing_again(folder):
    out = folder / "out"
    result = dfi("batch", folder / "jobs.jsonl", "--out", out, *OPTIONS)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {"me-smile", "you-frown", "my-face"}
    files = {path.name for path in (out / "me-smile").iterdir()}
    assert files == {"alpha-0.1.png", "alpha-0.3.png", "sheet.png", "loss.png", "result.json"}
    made = json.loads((out / "my-face" / "result.json").read_text())
    assert (made["photograph"], made["attribute"], made["place"]) == ("me.png", "frown", [10, 10, 110, 110])

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    (out / "you-frown" / "result.json").unlink()  # as a killed run leaves it
    result = dfi("batch", folder / "jobs.jsonl", "--out", out, *OPTIONS)
    assert result.exit_code == 0, result.output
    changed = {path.parent.name for path, then in before.items() if path.stat().st_mtime_ns != then}
    assert changed == {"you-frown"}


def test_a_job_that_fails_is_said_and_does_not_end_the_others(folder):
    (folder / "you.png").write_bytes(b"no picture")
    result = dfi("batch", folder / "jobs.jsonl", "--out", folder / "out", *OPTIONS)
    assert result.exit_code == 1
    assert "you-frown:" in result.output
    assert "Traceback" not in result.output
    assert {path.parent.name for path in folder.glob("out/*/result.json")} == {"me-smile", "my-face"}


def test_results_that_were_asked_for_otherwise_are_not_taken_for_these(folder):
    out = folder / "out"
    manifest = write(folder, {"photo": "me.png", "vector": "smile.safetensors"})
    assert dfi("batch", manifest, "--out", out, *OPTIONS).exit_code == 0
    write(folder, {"photo": "me.png", "vector": "smile.safetensors", "alphas": [0.2]})
    assert "me-smile has results with another alphas" in fails("batch", manifest, "--out", out, *OPTIONS)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 1 of .* isn't JSON"),
        ("[]", "should be an object"),
        ({"photo": "me.png"}, "an attribute or a vector"),
        ({"photo": "none.png", "attribute": "older"}, "none.png is no file"),
        ({"photo": "me.png", "attribute": "older", "alpha": 0.4}, "no field 'alpha'"),
        ({"photo": "me.png", "attribute": "older", "alphas": ["a"]}, "a list of numbers"),
        ({"photo": "me.png", "attribute": "older", "alphas": [float("nan")]}, "a finite number"),
        ({"photo": "me.png", "attribute": "older", "crop": [1, 2]}, "four whole numbers"),
        ({"photo": "me.png", "attribute": "older", "name": "../x"}, "the name of a folder"),
        ({"photo": "me.png", "attribute": "taller"}, "no starter vector 'taller'"),
        ("", "has no line"),
    ],
)
def test_a_wrong_line_is_one_sentence_before_anything_is_made(folder, line, sentence):
    import re

    manifest = write(folder, line)
    assert re.search(sentence, fails("batch", manifest, "--out", folder / "out", *OPTIONS))
    assert not (folder / "out").exists()


def test_two_jobs_of_one_name_are_refused(folder):
    job = {"photo": "me.png", "vector": "smile.safetensors"}
    assert "2 jobs called me-smile" in fails("batch", write(folder, job, job), "--out", folder / "out", *OPTIONS)
