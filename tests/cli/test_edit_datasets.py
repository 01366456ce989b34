import re
import shutil

import pytest
from commands import dfi, fails, succeeds
from edit_options import OPTIONS, RANDOM, SMALL, record

from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")


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


def test_a_vector_file_and_a_dataset_exclude_each_other(photo, vector_file, lfw_folder):
    sentence = fails("edit", photo, vector_file, "--dataset", f"lfw:{lfw_folder}", *OPTIONS)
    assert "omit one of them" in sentence


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
