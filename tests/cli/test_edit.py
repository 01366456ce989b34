import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from commands import dfi, fails
from PIL import Image

from dfi_jax import attribute
from dfi_jax.photo.image import read

pytestmark = pytest.mark.usefixtures("without_faces")

OPTIONS = ["--weights", "random-vgg16", "--iterations", "2"]


@pytest.fixture(scope="module")
def vector_file(lfw_folder, tmp_path_factory):
    """A vector of the random network at 200 × 200, small and constant."""
    import jax.numpy as jnp

    from dfi_jax.recipe import RECIPES
    from dfi_jax.network.vgg import feature_shapes
    from dfi_jax.network.weights import load_vgg

    vgg, recipe = load_vgg("random-vgg16"), RECIPES["default"]
    rng = np.random.default_rng(0)
    w = {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32)
        for name, shape in feature_shapes(vgg.architecture, recipe.layers, (recipe.size, recipe.size)).items()
    }
    made = attribute.Provenance("tests", ("Smiling",), 1, 1, 1, vgg.name, vgg.sha256, recipe.layers, recipe.size)
    path = tmp_path_factory.mktemp("vectors") / "smile.safetensors"
    attribute.save(path, attribute.AttributeVector(w, made), dtype="int8")
    return path


def test_a_face_is_looked_for_when_asked(photo):
    pytest.importorskip("dlib")
    assert "no face was found" in fails("edit", photo, "--attribute", "eyeglasses", "--align")


def test_help_explains_every_option():
    result = dfi("edit", "--help")
    assert result.exit_code == 0
    for option in ("--attribute", "--vector", "--dataset", "--alpha", "--recipe", "--out", "--crop", "--debug"):
        assert option in result.output


def test_a_photo_is_edited_with_a_vector_file(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    result = dfi("edit", photo, "--vector", vector_file, "--alpha", "0.1,-0.2", "--out", out, *OPTIONS)
    assert result.exit_code == 0, result.output
    names = {"alpha-0.1.png", "alpha--0.2.png", "sheet.png", "loss.png", "result.json"}
    assert {path.name for path in out.iterdir()} == names
    assert all(str(out / name) in result.output.replace("\n", "") for name in names)
    assert read(out / "alpha-0.1.png").shape == (140, 120, 3)
    saved = json.loads((out / "result.json").read_text())
    assert saved["recipe"]["iterations"] == 2
    assert saved["place"] == [0, 0, 120, 140]


def test_a_precision_changes_the_edit_a_little(photo, vector_file, tmp_path):
    objectives = []
    for precision in ("highest", "bfloat16"):
        out = tmp_path / precision
        result = dfi("edit", photo, "--vector", vector_file, "--precision", precision, "--out", out, *OPTIONS)
        assert result.exit_code == 0, result.output
        objectives.append(json.loads((out / "result.json").read_text())["objective"][0][-1])
    assert objectives[0] != objectives[1]
    assert objectives[0] == pytest.approx(objectives[1], rel=0.1)


def test_a_photo_in_a_dataset_gets_its_crop_and_its_scores(lfw_folder, tmp_path):
    photo = lfw_folder / "lfw-deepfunneled" / "Person_Number0" / "Person_Number0_0001.jpg"
    out = tmp_path / "out"
    result = dfi("edit", photo, "--attribute", "smiling", "--dataset", f"lfw:{lfw_folder}", "--k", "10",
                 "--out", out, *OPTIONS)  # fmt: skip
    assert result.exit_code == 0, result.output
    saved = json.loads((out / "result.json").read_text())
    assert saved["place"] == [40, 20, 210, 190]
    assert saved["vector"]["n_source"] == saved["vector"]["n_target"] == saved["vector"]["k"] == 10
    assert saved["vector"]["attributes"] == ["Smiling"]
    assert {"weights", "means", "compilation", "iteration"} <= set(saved["seconds"])


def test_what_was_selected_is_saved_with_the_edit_and_selected_alone(lfw_folder, photo, tmp_path):
    options = ["--attribute", "smiling", "--dataset", f"lfw:{lfw_folder}", "--k", "10", "--by", "pixels", *OPTIONS]
    result = dfi("edit", photo, "--out", tmp_path / "edit", *options)
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "edit" / "result.json").read_text())["selection"]
    assert saved["by"] == "pixels"
    options.remove("--iterations")
    options.remove("2")
    result = dfi("select", photo, "--out", tmp_path / "select", "--sheet", *options)
    assert result.exit_code == 0, result.output
    for name in ("source", "target"):
        lines = (tmp_path / "select" / f"{name}.txt").read_text().splitlines()
        assert [line[-len(own) :] for line, own in zip(lines, saved[name], strict=True)] == saved[name]
    assert read(tmp_path / "select" / "sheet.png").shape[1] == 10 * 308 + 8


def test_lists_of_a_selection_are_a_dataset(lfw_folder, photo, tmp_path):
    lists = tmp_path / "lists"
    options = [
        "--dataset",
        f"lfw:{lfw_folder}",
        "--k",
        "12",
        "--by",
        "pixels",
        "--weights",
        "random-vgg16",
        "--no-align",
    ]
    assert dfi("select", photo, "--attribute", "Smiling", "--out", lists, *options).exit_code == 0
    spec = f"folders:{lists / 'source.txt'}:{lists / 'target.txt'}"
    result = dfi("edit", photo, "--dataset", spec, "--out", tmp_path / "out", *OPTIONS)
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "out" / "result.json").read_text())
    assert saved["vector"]["attributes"] == ["Target"]
    assert saved["vector"]["n_target"] == 12


def test_attributes_of_a_stranger_are_estimated(lfw_folder, photo):
    options = ["--dataset", f"lfw:{lfw_folder}", "--weights", "random-vgg16"]
    result = dfi("attributes", photo, *options)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[-5].split() == ["attribute", "estimate", "AUC"]
    estimates = [float(line.split()[-2]) for line in lines[-4:]]
    assert estimates == sorted(estimates, reverse=True)
    known = lfw_folder / "lfw-deepfunneled" / "Person_Number0" / "Person_Number0_0001.jpg"
    assert "in the dataset" in dfi("attributes", known, *options).output


def test_the_cache_is_shown_and_cleared(lfw_folder, photo):
    options = ["--dataset", f"lfw:{lfw_folder}", "--weights", "random-vgg16"]
    assert dfi("attributes", photo, *options).exit_code == 0
    lines = [line.split()[:3] for line in dfi("cache", "info").output.splitlines()]
    lines = [line for line in lines if line[0] != "compiled"]  # how many depends on how long compilation takes
    assert [line[:2] for line in lines] == [["means", "0"], ["probes", "1"], ["landmarks", "0"], ["weights", "0"]]
    assert dfi("cache", "clear").exit_code == 0
    assert "probes          0" in dfi("cache", "info").output
    assert "choose from means" in fails("cache", "clear", "dreams")


def test_a_starter_vector_needs_only_its_name(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = dfi("edit", photo, "--attribute", "Eyeglasses", "--iterations", "2")
    assert result.exit_code == 0, result.output
    saved = json.loads((tmp_path / "dfi-me-Eyeglasses" / "result.json").read_text())
    assert saved["network"]["name"] == "vgg16"
    assert saved["vector"]["dataset"] == "lfw"
    assert saved["objective"][0][1] < saved["objective"][0][0]


def test_without_a_starter_vector_of_that_name_those_there_are_listed(photo):
    assert "there are eyeglasses, older" in fails("edit", photo, "--attribute", "moustache")
    assert "name a starter vector (eyeglasses, older)" in fails("edit", photo)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--alpha", "nan"], "alpha is nan; it should be a finite number"),
        (["--alpha", "0.1,,0.2"], "--alpha is '0.1,,0.2'; give numbers with commas"),
        (["--alpha", "0.2,0.20"], "alpha 0.2 is given twice"),
        (["--recipe", "best"], "there is no recipe 'best'; choose from default, chainer-dfi"),
        (["--iterations", "0"], "iterations is 0; it should be 1 or more"),
        (["--crop", "1,2,3"], "--crop is '1,2,3'; give four whole numbers"),
        (["--crop", "0,0,121,140"], "doesn't lie inside the image, which is 120 × 140 pixels"),
        (["--crop", "0,0,20,20"], "the face is 20 × 20 pixels; it should be 32 × 32 at least"),
        (["--weights", "vgg11"], "there is no network and no file 'vgg11'; choose from vgg16"),
        (["--dataset", "celeba"], "the dataset 'celeba' is of no known kind; give lfw:DIR, celeba:DIR"),
        (["--dataset", "lfw:/nowhere"], "/nowhere does not exist; give the folder that holds lfw_attributes.txt"),
        (["--vector", "/nowhere.safetensors"], "/nowhere.safetensors does not exist"),
        (["--vector", "a.safetensors", "--dataset", "lfw:a"], "both --vector and --dataset are given"),
        (["--mask", "/nowhere.png"], "/nowhere.png does not exist"),
        (["--points", "7"], "--points is 7; give 5 or 68"),
        (["--precision", "half"], "there is no precision 'half'; choose from highest, tf32, bfloat16"),
    ],
)
def test_a_wrong_option_is_one_sentence(photo, tmp_path, options, sentence):
    out = tmp_path / "out"
    assert sentence in fails("edit", photo, "--attribute", "eyeglasses", "--out", out, *options)
    assert not out.exists()


def truncated(path):
    Image.new("RGB", (200, 200), "red").save(path, quality=95)
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("absent.jpg", lambda path: None, "does not exist; check the path"),
        ("folder.jpg", lambda path: path.mkdir(), "is a folder; give an image file"),
        ("empty.jpg", lambda path: path.write_bytes(b""), "is empty; give a photograph"),
        ("page.jpg", lambda path: path.write_text("<html>"), "is not an image that can be read"),
        ("cut.jpg", truncated, "may be damaged or cut short"),
        ("dot.png", lambda path: Image.new("RGB", (1, 1)).save(path), "the face is 1 × 1 pixels"),
        (
            "vast.png",
            lambda path: Image.new("1", (20000, 20000)).save(path),
            "has more than 100 megapixels; make it smaller",
        ),
    ],
)
def test_a_photograph_that_cannot_be_edited_is_one_sentence(tmp_path, name, make, sentence):
    make(tmp_path / name)
    assert sentence in fails("edit", tmp_path / name, "--attribute", "eyeglasses", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unreadable_photograph_is_one_sentence(photo, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("PIL.Image.open", refuse)  # a file's mode stops no superuser
    assert "Permission denied" in fails("edit", photo, "--attribute", "eyeglasses")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_a_photograph_of_any_mode_is_edited_in_colour(photo, vector_file, tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    with Image.open(photo) as picture:
        if mode == "I;16":
            Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257).save(path)
        else:
            picture.convert(mode).save(path)
    result = dfi("edit", path, "--vector", vector_file, "--out", tmp_path / "out", "--weights", "random-vgg16",
                 "--iterations", "1")  # fmt: skip
    assert result.exit_code == 0, result.output
    edited, before = read(tmp_path / "out" / "alpha-0.4.png"), read(path)
    assert edited.shape == before.shape == (140, 120, 3)


def test_a_rotated_photograph_is_edited_upright(photo, vector_file, tmp_path):
    path = tmp_path / "rotated.jpg"
    with Image.open(photo) as picture:
        exif = picture.getexif()
        exif[274] = 6
        picture.save(path, exif=exif)
    result = dfi("edit", path, "--vector", vector_file, "--out", tmp_path / "out", "--weights", "random-vgg16",
                 "--iterations", "1")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "out" / "alpha-0.4.png").shape == (120, 140, 3)


def test_a_ragged_row_of_scores_is_named(lfw_folder, photo, tmp_path):
    copy = tmp_path / "lfw"
    shutil.copytree(lfw_folder, copy)
    table = copy / "lfw_attributes.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:9], lines[9].rpartition("\t")[0], *lines[10:]]))
    sentence = fails("edit", photo, "--attribute", "smiling", "--dataset", f"lfw:{copy}", *OPTIONS)
    assert re.search(r"lfw_attributes\.txt, line 10, has 3 scores and the header names 4 attributes", sentence)


def test_a_misspelt_attribute_gets_the_nearest(lfw_folder, photo):
    sentence = fails("edit", photo, "--attribute", "smilling", "--dataset", f"lfw:{lfw_folder}", *OPTIONS)
    assert "there is no attribute 'smilling'; did you mean Smiling?" in sentence


def test_too_few_images_is_an_error_that_says_how_many(lfw_folder, photo):
    sentence = fails("edit", photo, "--attribute", "~male", "--dataset", f"lfw:{lfw_folder}", *OPTIONS)
    assert "too few images for ~male: 0 have it and 48 have the opposite" in sentence


def test_a_vector_of_another_network_is_refused(photo, vector_file):
    sentence = fails("edit", photo, "--vector", vector_file, "--iterations", "1")
    assert "made with the network random-vgg16" in sentence


def test_a_file_that_is_no_vector_is_refused(photo):
    assert "can't be read as an attribute vector" in fails("edit", photo, "--vector", photo)


def test_files_of_an_earlier_run_are_only_replaced_when_told_to(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "alpha-0.4.png").write_text("mine")
    arguments = ["edit", photo, "--vector", vector_file, "--out", out, "--weights", "random-vgg16", "--iterations", "1"]
    assert "already holds files; choose another folder, or replace them with --overwrite" in fails(*arguments)
    assert (out / "alpha-0.4.png").read_text() == "mine"
    assert "is a file; choose another folder" in fails(*arguments[:5], photo)
    assert dfi(*arguments, "--overwrite").exit_code == 0
    assert read(out / "alpha-0.4.png").shape == (140, 120, 3)


def test_debug_shows_where_an_error_comes_from(photo):
    result = dfi("edit", photo, "--attribute", "eyeglasses", "--alpha", "nan", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.output
    assert "alpha is nan" in result.output


def test_an_interrupted_run_leaves_nothing_half_written(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from dfi_jax.cli import app; app()", "edit", photo, "--vector", vector_file,
               "--out", out, "--weights", "random-vgg16", "--iterations", "100000", "--no-align"]  # fmt: skip
    terminal = os.environ | {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "200"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=terminal)
    shown = ""
    while "objective" not in shown:  # the progress bar, once iterations have begun
        shown += process.stderr.read(1)
        assert process.poll() is None, shown
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "dfi: interrupted; nothing half-written was left" in said
    assert "Traceback" not in said
    assert not out.exists()
