"""Every option is explained, and reaches what it is an option of."""

import json

import numpy as np
import pytest
import typer
from builders import make_vector, small_recipe
from commands import fails, succeeds
from PIL import Image

from dfi_jax import RECIPES, Editor, InputError, Recipe, Rule, near
from dfi_jax.cli import dataset as dataset_commands
from dfi_jax.cli.main import app
from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")

SHARED = ["--dataset", "synthetic:60", "--points", "68"]
SHARED += ["--rule", "leave_out=image", "--near", "pixels:30", "--k", "7"]
NETWORK = ["--weights", "random-vgg16", "--precision", "tf32"]
RECIPE = ["--recipe", "chainer-dfi", "--set", "solver.memory=3"]


@pytest.fixture
def asked(monkeypatch):
    """The editors and the jobs that commands ask for. Nothing is edited."""
    found = []

    def edit_many(editor, jobs, **_):
        found.append((editor, list(jobs)))
        return iter(())

    monkeypatch.setattr(Editor, "edit_many", edit_many)
    return found


def check(editor, job):
    """Checks what both `dfi edit` and `dfi batch` are given here."""
    assert (job.dataset.name, len(job.dataset)) == ("synthetic", 60)
    assert job.resolved_rule == Rule(leave_out="image", near=near.Pixels(30), k=7)
    assert (job.points, job.warp) == (68, True)
    assert (job.alphas, job.face, job.attribute) == ((0.3, -1.0), 2, "Smiling")
    assert editor.recipe == RECIPES["chainer-dfi"].set({"solver.memory": "3"})
    assert (editor.vgg.name, editor.vgg.precision) == ("random-vgg16", "tf32")
    assert editor.batch_size == 5


def test_options_of_an_edit_reach_it(photo, tmp_path, asked):
    Image.new("L", (120, 140), 200).save(tmp_path / "mask.png")
    own = ["--face", "2", "-a", "0.3,-1", "--mask", tmp_path / "mask.png", "-o", tmp_path / "out"]
    options = [*SHARED, *NETWORK, *RECIPE, "--warp", "--batch-size", "5"]
    succeeds("edit", photo, "Smiling", *own, *options)
    ((editor, (job,)),) = asked
    check(editor, job)
    np.testing.assert_array_equal(job.photo.pixels, read(photo))
    np.testing.assert_allclose(job.mask.pixels, 200 / 255, rtol=1e-6)


def test_options_of_a_manifest_s_run_reach_its_jobs(photo, tmp_path, asked):
    line = {"photo": photo.name, "attribute": "Smiling", "face": 2, "alphas": [0.3, -1]}
    (tmp_path / "jobs.jsonl").write_text(json.dumps(line | {"mask": photo.name}))
    options = [*SHARED, *NETWORK, *RECIPE, "--warp", "--batch-size", "5"]
    succeeds("batch", tmp_path / "jobs.jsonl", "-o", tmp_path / "out", *options)
    ((editor, (job,)),) = asked
    check(editor, job)
    assert job.photo == job.mask == photo


def test_finer_vectors_reach_an_edit_if_their_sizes_increase(photo, tmp_path, random_vgg, asked):
    files = [tmp_path / f"{size}.safetensors" for size in (16, 24, 32)]
    for size, file in zip((16, 24, 32), files, strict=True):
        make_vector(random_vgg, small_recipe(size=size)).save(file)
    small, larger, largest = files
    sized = ["--set", "features.size=16", *NETWORK, "-o", tmp_path / "out"]
    succeeds("edit", photo, small, "--finer", larger, "--finer", largest, *sized)
    ((_, (job,)),) = asked
    assert [vector.provenance.size for vector in job.finer] == [24, 32]
    sentence = fails("edit", photo, small, "--finer", largest, "--finer", larger, *sized)
    assert "the sizes of the finer vectors are 16, 32, 24; give vectors of larger" in sentence


@pytest.mark.parametrize("command", ["select", "attributes"])
def test_options_of_a_look_at_a_dataset_reach_it(photo, tmp_path, monkeypatch, command):
    located, found, locate_photo = [], [], dataset_commands.locate_photo

    def locate(photo, **options):
        located.append(options)
        return locate_photo(photo, **options)

    def stop(editor, *subject, **options):
        found.append((editor, *subject, options))
        raise InputError("as far as needed.")

    monkeypatch.setattr(dataset_commands, "locate_photo", locate)
    monkeypatch.setattr(Editor, "select" if command == "select" else "scores", stop)
    face = ["--face", "10,20,70,90"]
    if command == "select":
        options = [*SHARED, *NETWORK, *RECIPE, *face, "-o", tmp_path / "out"]
        assert "as far as needed" in fails("select", photo, "Smiling", *options)
    else:
        options = ["--dataset", "synthetic:60", "--points", "68", *NETWORK[:2], *face]
        assert "as far as needed" in fails("attributes", photo, *options)
    ((editor, *_, given),) = found
    assert (located[0]["face"], located[0]["points"]) == ((10, 20, 70, 90), 68)
    assert len(located[0]["dataset"]) == len(given["dataset"]) == 60
    assert (given["face"].box, given["points"]) == ((10, 20, 70, 90), 68)
    assert editor.vgg.name == "random-vgg16"
    if command == "select":
        given_rule = (given["rule"], given["near"], given["k"])
        assert given_rule == ("leave_out=image", near.Pixels(30), 7)
        assert editor.recipe.solver.memory == 3
        assert editor.vgg.precision == "tf32"


def test_chainer_dfi_edits_a_photo_and_cancels_the_noise_that_it_starts_from(
    photo, tmp_path, random_vgg
):
    settings = {
        "features.layers": "conv1_1",
        "features.size": "16",
        "solver.iterations": "2",
        "finish.cancel_residual.every": "2",
        "finish.cancel_residual.iterations": "2",
    }
    recipe = RECIPES["chainer-dfi"].set(settings)
    make_vector(random_vgg, recipe).save(tmp_path / "smile.safetensors")
    options = ["--recipe", "chainer-dfi", "--weights", "random-vgg16", "--face", "whole"]
    for path, value in settings.items():
        options += ["--set", f"{path}={value}"]
    out = tmp_path / "out"
    succeeds("edit", photo, tmp_path / "smile.safetensors", *options, "-o", out)
    record = json.loads((out / "result.json").read_text())
    assert record["alphas"] == [0.4]
    assert Recipe.from_dict(record["recipe"]) == recipe
    # After two iterations the reconstruction is still noise, with and without the vector.
    difference = np.abs(read(out / "alpha-0.4.png") - read(photo))
    assert 0 < difference.mean() < 0.05
    assert difference.max() < 0.3


def parameters(command, name=()):
    """The name of each command, and its arguments and options, however deep."""
    for sub, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, (*name, sub))
    for parameter in command.params:
        yield " ".join(name), parameter


def test_every_option_of_every_command_is_explained():
    found = list(parameters(typer.main.get_command(app)))
    assert len({name for name, _ in found}) > 10
    for name, parameter in found:
        assert parameter.help, f"{name} {parameter.name}"
