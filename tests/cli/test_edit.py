import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import make_vector, small_recipe
from commands import dfi, fails, succeeds
from PIL import Image, PngImagePlugin

from dfi_jax import Recipe, load_vgg
from dfi_jax.cli.edit import _images_in, _name_folders
from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")

# At the default size, every test would wait for a minute of compilation.
SMALL = ["--set", "features.layers=conv1_2,conv2_1", "--set", "features.size=32"]
RANDOM = ["--weights", "random-vgg16", "--face", "whole", *SMALL]
OPTIONS = [*RANDOM, "--set", "solver.iterations=2"]
STRONG = [*OPTIONS, "-a", "30"]  # Eight bits show so strong an edit.

# The network is prepared before the photo is read. From 30 iterations, that takes 6 seconds of
# processor time, for Winograd's convolutions.
SOON = ["--set", "solver.iterations=1"]


@pytest.fixture(scope="module")
def vector_file(tmp_path_factory):
    """A vector of noise for the random network."""
    path = tmp_path_factory.mktemp("vectors") / "smile.safetensors"
    make_vector(load_vgg("random-vgg16"), small_recipe(size=32)).save(path, dtype="int8")
    return path


def record(folder):
    return json.loads((folder / "result.json").read_text())


def test_help_explains_every_option_and_its_default():
    for flag in ("--help", "-h"):
        text = " ".join(succeeds("edit", flag).split())
        assert "PHOTO... ATTRIBUTE" in text
        for option in (
            "--strength",
            "--face",
            "--dataset",
            "--rule",
            "--near",
            "--recipe",
            "--set",
            "--weights",
            "--mask",
            "--out",
            "--json",
            "--quiet",
            "--debug",
        ):
            assert option in text
        for default in ("[default: auto]", "k of the rule: 100", "[default: vgg16]"):
            assert default in text


def test_the_version_is_that_of_the_package():
    from dfi_jax import __version__

    assert succeeds("--version").split() == ["dfi_jax", __version__]
    run = [sys.executable, "-m", "dfi_jax", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["dfi_jax", __version__]


def test_a_photo_is_edited_with_a_vector_file(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    printed = succeeds(
        "edit", photo, vector_file, "-a", "0.1", "--alpha", "-0.2", "-o", out, *OPTIONS
    )
    names = {"alpha-0.1.png", "alpha--0.2.png", "sheet.png", "loss.png", "result.json"}
    assert {path.name for path in out.iterdir()} == names
    assert set(printed.split()) == {str(out / name) for name in names}
    assert read(out / "alpha-0.1.png").shape == (140, 120, 3)
    saved = record(out)
    assert saved["recipe"]["solver"]["iterations"] == 2
    assert saved["placement"] == [0, 0, 120, 140]
    assert saved["alphas"] == [0.1, -0.2]


def test_a_box_is_the_only_part_that_changes(photo, vector_file, tmp_path):
    options = [*STRONG, "--face", "10,20,70,90", "-o", tmp_path / "out"]
    succeeds("edit", photo, vector_file, *options)
    changed = np.abs(read(tmp_path / "out" / "alpha-30.png") - read(photo)).max(axis=2) > 0
    assert changed[20:90, 10:70].any()
    changed[20:90, 10:70] = False
    assert not changed.any()


def test_a_mask_keeps_the_rest_of_the_photo(photo, vector_file, tmp_path):
    mask = np.zeros((140, 120), np.uint8)
    mask[:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    options = [*STRONG, "--mask", tmp_path / "mask.png", "-o", tmp_path / "out"]
    succeeds("edit", photo, vector_file, *options)
    difference = np.abs(read(tmp_path / "out" / "alpha-30.png") - read(photo))
    assert difference[:50].max() > 0
    assert difference[75:].max() == 0
    sentence = fails("edit", photo, vector_file, *OPTIONS, "--mask", tmp_path / "out" / "sheet.png")
    assert "give a mask of the photo's size" in sentence


def test_every_field_of_the_recipe_can_be_set(photo, vector_file, tmp_path):
    settings = ["--set", "solver=adam", "--set", "solver.iterations=3", "--set", "finish="]
    assert "--set is 'finish='" in fails("edit", photo, vector_file, *RANDOM, *settings)
    settings = [*settings[:4], "--set", "finish=none", "--set", "start=noise"]
    succeeds("edit", photo, vector_file, *RANDOM, *settings, "-o", tmp_path / "out")
    recipe = Recipe.from_dict(record(tmp_path / "out")["recipe"])
    assert (recipe.solver.kind, recipe.solver.iterations) == ("adam", 3)
    assert recipe.finish == ()
    assert recipe.start.kind == "noise"
    assert read(tmp_path / "out" / "alpha-1.png").shape == (32, 32, 3)


def test_a_precision_changes_the_edit_a_little(photo, vector_file, tmp_path):
    objectives = []
    for precision in ("highest", "bfloat16"):
        out = tmp_path / precision
        succeeds("edit", photo, vector_file, "--precision", precision, "-o", out, *OPTIONS)
        assert record(out)["network"]["precision"] == precision
        objectives.append(record(out)["objective"][0])
    assert objectives[0] != objectives[1]
    assert objectives[0] == pytest.approx(objectives[1], rel=0.1)


def test_several_photos_are_edited_and_one_bad_one_ends_none(photo, vector_file, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        shutil.copy(photo, folder / name)
    (folder / "c.jpg").write_text("<html>")
    (folder / "notes.txt").write_text("mine")
    out = tmp_path / "out"
    result = dfi("edit", folder, photo, vector_file, "-o", out, *OPTIONS)
    assert result.exit_code == 1
    assert {path.parent.name for path in out.glob("*/result.json")} == {"a", "b", "me"}
    assert set(result.stdout.split()) == {str(out / name) for name in ("a", "b", "me")}
    assert "1 of 4 edits failed" in result.stderr
    assert "c.jpg" in result.stderr
    alone = tmp_path / "alone"
    succeeds("edit", photo, vector_file, "-o", alone, *OPTIONS)
    assert (alone / "alpha-1.png").read_bytes() == (out / "me" / "alpha-1.png").read_bytes()


def test_a_jpeg_gives_a_jpeg(photo, vector_file, tmp_path):
    with Image.open(photo) as picture:
        picture.save(tmp_path / "me.jpg")
    succeeds("edit", tmp_path / "me.jpg", vector_file, "-o", tmp_path / "out", *OPTIONS)
    with Image.open(tmp_path / "out" / "alpha-1.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (120, 140))


def test_json_and_quiet_are_for_scripts(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    result = dfi("edit", photo, vector_file, "--json", "--quiet", "-o", out, *OPTIONS)
    assert result.exit_code == 0
    assert result.stderr == ""
    printed = json.loads(result.stdout)
    assert printed.pop("folder") == str(out)
    assert printed == record(out)


def test_a_photo_in_a_dataset_gets_its_annotation_and_its_scores(lfw_folder, tmp_path):
    photo = lfw_folder / "lfw-deepfunneled" / "Person_Number0" / "Person_Number0_0001.jpg"
    options = ["--dataset", f"lfw:{lfw_folder}", "--k", "3", "-o", tmp_path / "out"]
    options += ["--weights", "random-vgg16", *SMALL, "--set", "solver.iterations=2"]
    result = dfi("edit", photo, "smiling", *options)
    assert result.exit_code == 0, result.output
    saved = record(tmp_path / "out")
    (warning,) = saved["warnings"]  # Three images per set leave little but noise.
    assert "it comes from 3 images without and 3 with the attribute" in warning
    assert warning in result.stderr
    assert saved["placement"] == [40, 20, 210, 190]
    assert saved["vector"]["n_source"] == saved["vector"]["n_target"] == saved["k"] == 3
    assert saved["vector"]["attributes"] == ["Smiling"]


def test_what_was_selected_is_saved_with_the_edit_and_selected_alone(lfw_folder, photo, tmp_path):
    options = ["--dataset", f"lfw:{lfw_folder}", "--k", "3", "--near", "pixels"]
    succeeds("edit", photo, "smiling", "-o", tmp_path / "edit", *options, *OPTIONS)
    (saved,) = record(tmp_path / "edit")["selections"]
    assert saved["near"] == "pixels"
    folder = tmp_path / "select"
    succeeds("select", photo, "smiling", "-o", folder, "--sheet", *options, *RANDOM)
    for name in ("source", "target"):
        lines = (folder / f"{name}.txt").read_text().splitlines()
        assert [
            line[-len(image) :] for line, image in zip(lines, saved[name], strict=True)
        ] == saved[name]
    assert read(folder / "sheet.png").shape[1] == 10 * 308 + 8


def test_lists_of_a_selection_are_a_dataset(lfw_folder, photo, tmp_path):
    lists = tmp_path / "lists"
    options = ["--dataset", f"lfw:{lfw_folder}", "--k", "3", "--near", "pixels"]
    succeeds("select", photo, "Smiling", "-o", lists, *options, *RANDOM)
    spec = f"pair:{lists / 'source.txt'}:{lists / 'target.txt'}"
    options = ["--dataset", spec, "--k", "3", "-o", tmp_path / "out"]
    succeeds("edit", photo, "Target", *options, *OPTIONS)
    saved = record(tmp_path / "out")
    assert saved["vector"]["attributes"] == ["Target"]
    assert saved["vector"]["n_target"] == 3


def test_two_folders_of_pictures_are_a_dataset(lfw_folder, photo, tmp_path):
    for i, image in enumerate(sorted(lfw_folder.glob("*/*/*.jpg"))[:24]):
        side = tmp_path / ("with" if i % 2 else "without")
        side.mkdir(exist_ok=True)
        shutil.copy(image, side)
    spec = f"pair:{tmp_path / 'without'}:{tmp_path / 'with'}"
    few = ["--dataset", spec, "--k", "3"]
    succeeds("edit", photo, "Target", *few, "-o", tmp_path / "out", *OPTIONS)
    (selection,) = record(tmp_path / "out")["selections"]
    assert len(selection["source"]) == len(selection["target"]) == 3
    assert {name.split("/")[0] for name in selection["target"]} == {"with"}
    vector = tmp_path / "mine.safetensors"
    made = [*few, "-o", vector, "--weights", "random-vgg16", *SMALL]
    succeeds("vectors", "make", "Target", *made)
    assert "3 with the attribute, 3 without" in succeeds("vectors", "show", vector)
    assert "exists already" in fails("vectors", "make", "Target", *made)
    succeeds("edit", photo, vector, "-o", tmp_path / "again", *OPTIONS)
    assert record(tmp_path / "again")["vector"]["dataset"] == "pair"


def test_the_vectors_that_come_with_the_package_are_listed_and_shown():
    lines = succeeds("vectors", "list").splitlines()
    assert [line.split()[0] for line in lines] == [
        "bangs",
        "beard",
        "blond",
        "eyeglasses",
        "moustache",
        "mouth-open",
        "older",
        "smiling",
    ]
    shown = succeeds("vectors", "show", "older")
    assert "~Young" in shown
    assert "strength 0.93 moves faces by" in shown
    assert "conv5_1         12 × 12 × 512" in shown
    assert "choose from bangs, beard" in fails("vectors", "show", "taller")


def test_attributes_of_a_stranger_are_estimated(lfw_folder, photo):
    options = ["--dataset", f"lfw:{lfw_folder}", "--weights", "random-vgg16"]
    lines = succeeds("attributes", photo, *options, "--face", "whole").splitlines()
    assert lines[-5].split() == ["attribute", "estimate", "AUC"]
    estimates = [float(line.split()[-2]) for line in lines[-4:]]
    assert estimates == sorted(estimates, reverse=True)
    known = lfw_folder / "lfw-deepfunneled" / "Person_Number0" / "Person_Number0_0001.jpg"
    assert "in the dataset" in succeeds("attributes", known, *options)


def test_the_cache_is_shown_and_cleared(lfw_folder, photo):
    options = ["--dataset", f"lfw:{lfw_folder}", "--weights", "random-vgg16", "--face", "whole"]
    succeeds("attributes", photo, *options)
    lines = [line.split()[:2] for line in succeeds("cache", "info").splitlines()]
    # How many programs are kept depends on how long they take to compile.
    counts = dict(line for line in lines if line[0] != "compiled")
    assert counts == {"means": "0", "probes": "1", "landmarks": "0", "weights": "0"}
    succeeds("cache", "clear")
    assert "probes          0" in succeeds("cache", "info")
    assert "choose from means" in fails("cache", "clear", "dreams")


def test_a_starter_vector_needs_only_its_name(photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeeds("edit", photo, "Eyeglasses", "--face", "whole", "--set", "solver.iterations=4")
    saved = record(tmp_path / "dfi-me-Eyeglasses")
    assert saved["network"]["name"] == "vgg16"
    assert saved["vector"]["dataset"] == "lfw"
    assert saved["alphas"] == [1.0]
    assert saved["history"][0][3] < saved["history"][0][0]


def test_starter_vectors_are_combined(photo, tmp_path):
    options = ["--face", "whole", "--set", "solver.iterations=4", "-o", tmp_path / "out"]
    succeeds("edit", photo, "eyeglasses,older=0.5", *options)
    expected = ["1 × Eyeglasses", "0.5 × ~Young"]
    assert record(tmp_path / "out")["vector"]["attributes"] == expected


def test_an_unknown_attribute_is_answered_with_those_that_exist(photo):
    assert "eyeglasses, moustache" in fails("edit", photo, "taller")
    assert "eyeglasses, moustache" in fails("edit", photo)
    assert "the attribute is missing" in fails("edit", photo, photo.with_name("you.jpg"))


def test_without_the_extra_a_face_isn_t_guessed(photo):
    sentence = fails("edit", photo, "eyeglasses", *SOON)
    assert "faces" in sentence
    assert "whole" in sentence


def test_normalised_weights_work_without_further_settings(photo, tmp_path):
    from dfi_jax.network.weights.converted import write
    from dfi_jax.network.weights.formats import TORCHVISION
    from dfi_jax.network.weights.parameters import Weights, random_params

    normalized = Weights(
        params=random_params("vgg16"),
        architecture="vgg16",
        preprocess=TORCHVISION,
        format="tests",
        normalized=True,
    )
    weights = tmp_path / "normalized.safetensors"
    write(weights, normalized)
    vgg = load_vgg(weights)
    assert vgg.normalized
    vector = tmp_path / "mine.safetensors"
    make_vector(vgg, small_recipe(size=32)).save(vector, dtype="int8")
    options = ["--weights", weights, "--face", "whole", *SMALL, "--set", "solver.iterations=1"]
    succeeds("edit", photo, vector, *options, "-o", tmp_path / "out")
    assert record(tmp_path / "out")["network"]["normalized"] is True
    raw = ["--set", "features.network=raw"]
    assert "asks for raw weights" in fails("edit", photo, vector, *options, *raw)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--alpha", "nan"], "alpha is nan; give a number"),
        (["--strength", "0.1,,0.2"], "--strength is '0.1,,0.2'; give numbers separated by commas"),
        (["--alpha", "0.2,0.20"], "alpha 0.2 is given twice"),
        (["--recipe", "best"], "'best' doesn't exist; choose from default, chainer-dfi"),
        (["--set", "solver.iterations=0"], "lbfgs.iterations is 0; give 1 or more"),
        (["--set", "iterations"], "--set is 'iterations'; give PATH=VALUE"),
        (["--set", "speed=3"], "has no field 'speed'; its fields are features"),
        (["--face", "1,2,3"], "'1,2,3'"),
        (["--face", "0,0,121,140"], "doesn't lie inside the photo, which is 120 × 140 pixels"),
        (["--face", "0,0,20,20"], "the face is 20 × 20 pixels"),
        (["--weights", "vgg11"], "'vgg11'"),
        (["--dataset", "celeba"], "'celeba'"),
        (["--dataset", "lfw:/nowhere"], "/nowhere does"),
        (["--mask", "/nowhere.png"], "/nowhere.png doesn't exist"),
        (["--near", "taste"], "can't be selected by 'taste'"),
        (["--near", "pixels"], "near is pixels and there is no dataset; give a dataset"),
        (["--rule", "paper", "--k", "9"], "rule is paper and there is no dataset"),
        (["--k", "9"], "k is 9 and there is no dataset"),
    ],
)
def test_a_wrong_option_is_one_sentence(photo, tmp_path, options, sentence):
    out = tmp_path / "out"
    whole = [] if "--face" in options else ["--face", "whole"]
    assert sentence in fails("edit", photo, "eyeglasses", "-o", out, *SOON, *whole, *options)
    assert not out.exists()


@pytest.mark.parametrize("options", [["--points", "7"], ["--precision", "half"], ["--k", "x"]])
def test_a_value_that_isn_t_one_of_a_choice_is_a_usage_error(photo, options):
    result = dfi("edit", photo, "eyeglasses", *options)
    assert result.exit_code == 2
    assert options[0] in result.output


def test_a_vector_file_and_a_dataset_exclude_each_other(photo, vector_file, lfw_folder):
    sentence = fails("edit", photo, vector_file, "--dataset", f"lfw:{lfw_folder}", *OPTIONS)
    assert "omit one of them" in sentence


def truncated(path):
    Image.new("RGB", (200, 200), "red").save(path, quality=95)
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("name", "make", "sentence"),
    [
        ("absent.jpg", lambda path: None, "doesn't exist"),
        ("folder.jpg", lambda path: path.mkdir(), "is a folder without photos"),
        ("empty.jpg", lambda path: path.write_bytes(b""), "is empty"),
        ("page.jpg", lambda path: path.write_text("<html>"), "isn't an image"),
        ("cut.jpg", truncated, "damaged"),
        ("dot.png", lambda path: Image.new("RGB", (1, 1)).save(path), "the face is 1 × 1 pixels"),
        ("vast.png", lambda path: Image.new("1", (20000, 20000)).save(path), "100 megapixels"),
    ],
)
def test_a_photo_that_cannot_be_edited_is_one_sentence(tmp_path, name, make, sentence):
    make(tmp_path / name)
    options = ["--face", "whole", "-o", tmp_path / "out", *SOON]
    assert sentence in fails("edit", tmp_path / name, "eyeglasses", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_a_photo_of_any_mode_is_edited_and_stays_grey_if_it_is(photo, vector_file, tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    with Image.open(photo) as picture:
        if mode == "I;16":
            Image.fromarray(np.asarray(picture.convert("L"), np.uint16) * 257).save(path)
        else:
            picture.convert(mode).save(path)
    succeeds("edit", path, vector_file, "-o", tmp_path / "out", *STRONG)
    edited = read(tmp_path / "out" / "alpha-30.png")
    assert edited.shape == read(path).shape == (140, 120, 3)
    assert (np.ptp(edited, axis=-1).max() == 0) == (mode in ("L", "I;16"))
    assert np.abs(edited - read(path)).max() > 0.02


def test_a_rotated_photo_is_edited_upright(photo, vector_file, tmp_path):
    path = tmp_path / "rotated.jpg"
    with Image.open(photo) as picture:
        exif = picture.getexif()
        exif[274] = 6
        picture.save(path, exif=exif)
    succeeds("edit", path, vector_file, "-o", tmp_path / "out", *OPTIONS)
    assert read(tmp_path / "out" / "alpha-1.jpg").shape == (120, 140, 3)


def test_a_ragged_row_of_scores_is_named(lfw_folder, photo, tmp_path):
    copy = tmp_path / "lfw"
    shutil.copytree(lfw_folder, copy)
    table = copy / "lfw_attributes.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:9], lines[9].rpartition("\t")[0], *lines[10:]]))
    sentence = fails("edit", photo, "smiling", "--dataset", f"lfw:{copy}", *OPTIONS)
    assert re.search(r"lfw_attributes\.txt, line 10,", sentence)


def test_a_misspelt_attribute_gets_the_nearest(lfw_folder, photo):
    sentence = fails("edit", photo, "smilling", "--dataset", f"lfw:{lfw_folder}", *OPTIONS)
    assert "'smilling' doesn't exist; did you mean Smiling?" in sentence


def test_too_few_images_is_an_error_with_their_numbers(lfw_folder, photo):
    sentence = fails("edit", photo, "~male", "--dataset", f"lfw:{lfw_folder}", *OPTIONS)
    assert "0 that have it and 48 with the opposite" in sentence


def test_a_vector_of_another_network_is_rejected(photo, vector_file):
    options = ["--face", "whole", "--set", "solver.iterations=1"]
    assert "made with the network random-vgg16" in fails("edit", photo, vector_file, *options)


def test_a_file_that_isn_t_a_vector_is_rejected(photo, tmp_path):
    path = tmp_path / "noise.safetensors"
    shutil.copy(photo, path)
    assert "can't be read as an attribute vector" in fails("edit", photo, path, *OPTIONS)


def test_earlier_files_are_only_replaced_if_told(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "alpha-1.png").write_text("mine")
    arguments = ["edit", photo, vector_file, *OPTIONS]
    assert "already holds files" in fails(*arguments, "-o", out)
    assert (out / "alpha-1.png").read_text() == "mine"
    assert "exists already" in fails(*arguments, "-o", photo)
    (tmp_path / "file").touch()
    assert "is a file; choose a folder" in fails(*arguments, "-o", tmp_path / "file")
    succeeds(*arguments, "-o", out, "--overwrite")
    assert read(out / "alpha-1.png").shape == (140, 120, 3)


def test_debug_shows_where_an_error_comes_from(photo):
    result = dfi("edit", photo, "eyeglasses", "--alpha", "nan", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.output
    assert "alpha is nan" in result.output


def test_an_interrupted_run_leaves_nothing_half_written(photo, tmp_path):
    # So shallow a network is compiled soonest.
    recipe = small_recipe(size=32, iterations=9999, layers=("conv1_1",))
    vector = tmp_path / "smile.safetensors"
    make_vector(load_vgg("random-vgg16"), recipe).save(vector)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "dfi_jax", "edit", str(photo), str(vector)]
    command += ["-o", str(out), "--weights", "random-vgg16", "--face", "whole"]
    for setting in ("features.layers=conv1_1", "features.size=32", "solver.iterations=9999"):
        command += ["--set", setting]
    terminal = {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | terminal,
    )
    shown = ""
    while "objective" not in shown:  # The bar shows it once evaluations have begun.
        shown += process.stderr.read(1)
        assert process.poll() is None, shown
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "dfi: interrupted; no half-written file is left" in rest
    assert "Traceback" not in rest
    assert not out.exists()


def test_a_face_is_detected_by_default(photo, monkeypatch):
    pytest.importorskip("dlib")
    monkeypatch.setattr("dfi_jax.photo.faces.installed", lambda: True)
    assert "no face was detected" in fails("edit", photo, "eyeglasses", *SOON)


def test_a_name_of_a_picture_is_that_of_the_only_file(photo, vector_file, tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Ann")
    with Image.open(photo) as picture:
        picture.save(photo, pnginfo=texts)
    out = tmp_path / "older.jpg"
    done = dfi("edit", photo, vector_file, *OPTIONS, "-a", "1", "-o", out)
    assert done.stdout.split() == [str(out)]
    assert "texts, which a JPEG file can't hold; its edit has none." in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"me.png", "older.jpg"}
    with Image.open(out) as picture:
        assert (picture.format, picture.size) == ("JPEG", (120, 140))
    run = ["edit", photo, vector_file, *OPTIONS, "-o", out]
    assert "exists already" in fails(*run)
    assert "one file, but there are several photos or strengths" in fails(
        *run, "--overwrite", "-a", "1,2"
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("me.tiff", "has the suffix '.tiff'; give a path that ends in .png, .jpg or .jpeg"),
        ("me.jpg", "can't hold the photo's transparency or 16 bits; give a path that ends in .png"),
    ],
)
def test_a_file_that_cannot_hold_the_edit_is_refused_before_anything_is_loaded(
    tmp_path, monkeypatch, name, sentence
):
    Image.new("RGBA", (40, 40)).save(tmp_path / "clear.png")
    monkeypatch.setattr("dfi_jax.cli.options.load_editor", None)
    assert sentence in fails("edit", tmp_path / "clear.png", "older", "-o", tmp_path / name)
    assert not (tmp_path / name).exists()


def test_of_a_folder_links_to_nowhere_are_photos_and_folders_are_not(photo):
    (photo.parent / "b.png").symlink_to("nowhere")
    (photo.parent / "c.png").mkdir()
    assert [path.name for path in _images_in(photo.parent)] == ["b.png", "me.png"]


def test_a_folder_that_is_named_after_a_photo_has_no_control_characters():
    (folder,) = _name_folders([Path("a\x1b[2J\n\udcff.png")], "older", out=None, several=False)
    assert folder == Path("dfi-a-[2J---older")


def test_a_full_disk_is_found_before_anything_is_loaded(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("dfi_jax.cli.options.load_editor", None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        sentence = fails("edit", photo, "older", "--face", "whole", "-o", tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "new can't be written to (File too large)" in sentence


def test_a_tilde_is_the_home_folder_of_results_too(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").touch()
    assert "notes is a file; choose a folder" in fails("edit", photo, "older", "-o", "~/notes")


@pytest.mark.parametrize("command", [["edit", "me.png"], ["weights", "show"]])
def test_a_pipe_is_no_vector_and_no_network(photo, command, monkeypatch):
    monkeypatch.chdir(photo.parent)
    os.mkfifo("pipe.safetensors")
    assert "is a pipe or a device; give a file" in fails(*command, "pipe.safetensors")


def test_an_empty_name_is_no_photo():
    assert "PHOTO" in dfi("edit", "", "older").stderr
