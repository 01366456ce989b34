import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builders import make_vector, small_recipe
from commands import dfi, fails, succeeds
from edit_options import OPTIONS, RANDOM, SMALL, STRONG, record
from PIL import Image, PngImagePlugin

from dfi_jax import Editor, Recipe, load_vgg
from dfi_jax.cli.edit import _images_in, _name_folders
from dfi_jax.cli.output import LEAST_SPACE
from dfi_jax.errors import FileError
from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")


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


def test_json_and_quiet_are_for_scripts(photo, vector_file, tmp_path):
    out = tmp_path / "out"
    result = dfi("edit", photo, vector_file, "--json", "--quiet", "-o", out, *OPTIONS)
    assert result.exit_code == 0
    assert result.stderr == ""
    printed = json.loads(result.stdout)
    assert printed.pop("folder") == str(out)
    assert printed == record(out)


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
    assert "strength 1.00 moves faces by 1.41" in shown
    assert "noise           17% of the energy" in shown  # As docs/vectors.md says.
    assert "conv5_1         12 × 12 × 512" in shown
    assert max(map(len, succeeds("vectors", "show", "bangs").splitlines())) <= 100
    assert "choose from bangs, beard" in fails("vectors", "show", "taller")


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
    assert "did you mean smiling?" in fails("edit", photo, "smilling")


def test_a_wrong_order_of_photos_and_attributes_is_explained(photo):
    # A photo in the attribute's place, the attribute alone, and two attributes without a comma.
    assert f"no attribute follows the photo {photo}" in fails("edit", "older", photo)
    assert "the photo is missing" in fails("edit", "older")
    assert "edit me.jpg eyeglasses,older`" in fails("edit", photo, "eyeglasses", "older")


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
    assert sentence in fails("edit", photo, "eyeglasses", "-o", out, *whole, *options)
    assert not out.exists()


@pytest.mark.parametrize("options", [["--points", "7"], ["--precision", "half"], ["--k", "x"]])
def test_a_value_that_isn_t_one_of_a_choice_is_a_usage_error(photo, options):
    result = dfi("edit", photo, "eyeglasses", *options)
    assert result.exit_code == 2
    assert options[0] in result.output


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


@pytest.mark.parametrize(("name", "free"), [("out", "out-2"), ("older.png", "older-2.png")])
def test_an_edit_whose_place_another_process_took_meanwhile_is_not_lost(
    photo, vector_file, tmp_path, monkeypatch, name, free
):
    theirs = tmp_path / name / "theirs.png" if name == "out" else tmp_path / name
    edit_many = Editor.edit_many

    def late(*args, **options):
        for made in edit_many(*args, **options):
            theirs.parent.mkdir(exist_ok=True)
            theirs.touch()
            yield made

    monkeypatch.setattr(Editor, "edit_many", late)
    done = dfi("edit", photo, vector_file, *OPTIONS, "-o", tmp_path / name)
    assert f"the edit is {tmp_path / free}." in done.stderr
    assert (tmp_path / free).exists()
    assert all(line.startswith(str(tmp_path / free)) for line in done.stdout.splitlines())
    assert not theirs.stat().st_size


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


def test_of_a_folder_links_to_nowhere_are_photos_and_folders_are_not(photo, caplog):
    (photo.parent / "b.png").symlink_to("nowhere")
    (photo.parent / "c.png").mkdir()
    assert [path.name for path in _images_in(photo.parent)] == ["b.png", "me.png"]
    assert not caplog.messages
    (photo.parent / "d.heic").touch()
    assert len(_images_in(photo.parent)) == 2
    assert "(.heic) were left out: 1;" in caplog.text


def test_a_folder_that_is_named_after_a_photo_has_no_control_characters():
    (folder,) = _name_folders([Path("a\x1b[2J\n\udcff.png")], "older", out=None, several=False)
    assert folder == Path("dfi-a-[2J---older")


def test_photos_without_a_name_get_a_folder_below_that_of_the_results():
    photos = [Path("...jpg"), Path("..png"), Path(".jpg"), Path("x" * 250 + ".jpg")]
    folders = _name_folders(photos, "older", out=Path("out"), several=True)
    assert folders == [Path("out", name) for name in ("--", "-", ".jpg", "x" * 200)]


def test_photos_of_the_same_name_get_numbers():
    names = ["a/Me.jpg", "b/me.jpg", "me-2.jpg", "c/ME.png", "me-2.png"]
    folders = _name_folders([Path(name) for name in names], "older", out=Path("out"), several=True)
    assert [folder.name for folder in folders] == ["Me", "me-2", "me-2-2", "ME-3", "me-2-3"]
    started = time.process_time()
    photos = [Path(str(i), "me.jpg") for i in range(10_000)]
    assert len(set(_name_folders(photos, "older", out=None, several=True))) == 10_000
    assert time.process_time() - started < 1  # Trying all numbers for each takes six seconds.


def test_a_full_disk_is_found_before_anything_is_loaded(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("dfi_jax.cli.options.load_editor", None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        sentence = fails("edit", photo, "older", "--face", "whole", "-o", tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "new can't be written to (File too large)" in sentence


@pytest.mark.parametrize("name", ["x" * 300, f"new/{'x' * 300}", f"new/{'x' * 300}.png", "a\0"])
def test_a_name_that_no_file_can_have_is_found_before_anything_is_loaded(
    photo, tmp_path, monkeypatch, name
):
    monkeypatch.setattr("dfi_jax.cli.options.load_editor", None)
    sentence = fails("edit", photo, "older", "--face", "whole", "-o", tmp_path / name)
    assert "choose another" in sentence


def test_a_disk_without_room_for_the_edits_is_found_before_anything_is_loaded(
    photo, tmp_path, monkeypatch
):
    def load(*args, **options):
        raise FileError("the network is loaded.")

    monkeypatch.setattr("dfi_jax.cli.options.load_editor", load)
    room = SimpleNamespace(total=10**12, free=LEAST_SPACE + photo.stat().st_size)
    monkeypatch.setattr("shutil.disk_usage", lambda path: room)
    run = ["edit", photo, "older", "--face", "whole", "-o", tmp_path / "new"]
    assert "the network is loaded." in fails(*run)
    assert "0.1 MB left and the edits need about 0.1 MB; free some" in fails(*run, "-a", "1,2")


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
