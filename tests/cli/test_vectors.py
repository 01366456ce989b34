"""`dfi vectors fit`, `regress` and `compare`; the other commands are mostly in test_edit.py."""

import dataclasses
import json

import numpy as np
import pytest
from commands import fails, succeeds
from PIL import Image

from dfi_jax import AttributeVector, starter
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.vectors.fitted import FittedDataset

SMALL = [
    *("--weights", "random-vgg16"),
    *("--set", "features.layers=conv1_1,conv2_1"),
    *("--set", "features.size=16"),
]

QUICK = [*SMALL, "--set", "solver.iterations=1"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder that `dfi vectors fit` wrote."""
    folder = tmp_path_factory.mktemp("fitted") / "sums"
    assert succeeds("vectors", "fit", "synthetic:40", "-o", folder, *SMALL) == f"{folder}\n"
    return folder


def test_a_fitted_dataset_gives_any_vector_and_says_what_it_moves(fitted, tmp_path):
    file = tmp_path / "smile.safetensors"
    held = ["--hold", "Eyeglasses, beard", "--penalty", "0"]
    assert succeeds("vectors", "regress", "smiling", fitted, "-o", file, *held) == f"{file}\n"
    made = AttributeVector.load(file).provenance
    assert made.attributes == ("Smiling",)
    assert made.held == ("Eyeglasses", "Beard")
    assert made.n_source + made.n_target == 40
    shown = succeeds("vectors", "show", file)
    for words in ("held            Eyeglasses, Beard", "penalty         0", "signal", "noise"):
        assert words in shown
    moved = json.loads(succeeds("vectors", "compare", fitted, file, "--json"))[str(file)]
    assert moved["Smiling"] > 0.3
    printed = succeeds("vectors", "compare", fitted, file).splitlines()
    assert printed[0] == str(file)
    assert {line.split(maxsplit=1)[1] for line in printed[1:]} == set(moved)


def test_all_others_are_held_unless_some_are_named(fitted, tmp_path):
    for options, count in (([], 6), (["--hold", ""], 0)):
        file = tmp_path / f"{count}.safetensors"
        succeeds("vectors", "regress", "Smiling", fitted, "-o", file, *options)
        assert len(AttributeVector.load(file).provenance.held) == count


def test_the_direction_of_another_vector_is_taken_out(fitted, tmp_path):
    other, made = tmp_path / "eyeglasses.safetensors", tmp_path / "smile.safetensors"
    options = ["--hold", ""]
    succeeds("vectors", "regress", "Eyeglasses", fitted, "-o", other, *options)
    succeeds("vectors", "regress", "Smiling", fitted, "-o", made, "--keep", other, *options)
    left, kept = AttributeVector.load(made), AttributeVector.load(other)
    assert left.provenance.kept == ("Eyeglasses",)
    products = [np.vdot(left.features[n], kept.features[n]) for n in left.features]
    lengths = [np.linalg.norm(np.ravel(kept.features[n])) for n in left.features]
    assert abs(sum(products)) < 1e-3 * sum(np.square(lengths))
    assert "kept            Eyeglasses" in succeeds("vectors", "show", made)


def test_a_group_can_be_fitted_alone(tmp_path):
    folder = tmp_path / "serious"
    succeeds("vectors", "fit", "synthetic:40", "-o", folder, "--where", "-Smiling", *SMALL)
    found = FittedDataset.load(folder)
    assert found.origin.where == "-Smiling"
    assert 0 < len(found.scores) < 40


def test_faces_are_warped_on_request_and_edits_without_a_warp_say_so(fitted, tmp_path, monkeypatch):
    points = CANONICAL_LANDMARKS * [1, 0.9]
    monkeypatch.setattr(
        "dfi_jax.photo.faces.nearest", lambda pixels, placement: placement.map_points(points)
    )
    warped = tmp_path / "warped"
    succeeds("vectors", "fit", "synthetic:40", "-o", warped, "--warp", *SMALL)
    sums = [FittedDataset.load(folder).products["conv1_1"] for folder in (fitted, warped)]
    assert np.abs(sums[0] - sums[1]).max() > 0.1 * np.abs(sums[0]).max()
    file = tmp_path / "smile.safetensors"
    succeeds("vectors", "regress", "Smiling", warped, "-o", file)
    assert "warped          to the average face" in succeeds("vectors", "show", file)
    photo = tmp_path / "me.png"
    Image.new("RGB", (40, 40), "grey").save(photo)
    for options, warned in (([], True), (["--warp"], False)):
        out = tmp_path / f"out-{warned}"
        succeeds("edit", photo, file, "--face", "whole", "-o", out, *QUICK, *options)
        warnings = json.loads((out / "result.json").read_text())["warnings"]
        assert any("edit it with a warp" in warning for warning in warnings) == warned


def test_a_vector_knows_the_rule_that_its_images_were_selected_by(tmp_path):
    file = tmp_path / "smile.safetensors"
    given = ["Smiling", "--dataset", "crop:20,20,80,80:synthetic:60", "-o", file, *SMALL]
    succeeds("vectors", "make", *given, "--rule", "k=9,threshold=0.2,weights=confidence")
    shown = succeeds("vectors", "show", file).splitlines()
    assert "rule            threshold=0.2,weights=confidence" in shown
    assert "at most         9 of each" in shown
    assert "crop            20,20,80,80" in shown
    assert "there is no photo" in fails(
        "vectors", "make", *given, "--overwrite", "--rule", "k=9,weights=nearness"
    )
    assert "'mine' doesn't exist" in fails(
        "vectors", "make", *given, "--overwrite", "--rule", "mine"
    )


def test_a_terminal_obeys_nothing_that_a_vector_s_file_says(tmp_path):
    older = starter("older")
    made = dataclasses.replace(older.provenance, note="\x1b[2J", dataset="a\nb")
    older.replace(provenance=made).save(tmp_path / "a.safetensors")
    shown = succeeds("vectors", "show", tmp_path / "a.safetensors").splitlines()
    assert {"note            \\x1b[2J", "dataset         a\\nb"} <= set(shown)


def test_what_cannot_be_done_is_said_in_a_sentence(fitted, tmp_path):
    file = tmp_path / "smile.safetensors"
    assert "has no fitted dataset" in fails("vectors", "regress", "Smiling", tmp_path, "-o", file)
    assert "did you mean Smiling" in fails("vectors", "regress", "Smilin", fitted, "-o", file)
    photo = tmp_path / "me.png"
    Image.new("RGB", (40, 40), "grey").save(photo)
    sums = ["--dataset", f"fitted:{fitted}", "-o", tmp_path / "out"]
    assert "did you mean Beard" in fails("edit", photo, "Smiling,Bread=0.5", *sums)
    assert "ends in .safetensors" in fails("vectors", "regress", "Smiling", fitted, "-o", "x.bin")
    other = ["-o", fitted, *SMALL, "--set", "features.size=24"]
    assert "a different value of size" in fails("vectors", "fit", "synthetic:40", *other)
    assert "has no sign" in fails(
        "vectors", "fit", "synthetic:40", "-o", tmp_path / "x", "--where", "Smiling", *SMALL
    )
    assert "was made with" in fails("vectors", "compare", fitted, "older")
    made = ["--dataset", "synthetic:60", "--k", "5", "-o", file, *SMALL, "--keep", "older"]
    assert "--keep is older, but" in fails("vectors", "make", "Smiling", *made)  # Before any means.
    assert not file.exists()
