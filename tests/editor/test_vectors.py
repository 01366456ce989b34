import dataclasses

import numpy as np
import pytest
from small_edits import make_editor, phi

from dfi_jax import Cache, FileError, InputError, load_dataset, load_vgg, near, starter
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.image import resize
from dfi_jax.photo.photo import read
from dfi_jax.photo.placement import CANONICAL_POINTS


def test_with_a_dataset_the_record_has_the_images_that_were_used(random_vgg, lfw_folder, photo):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    edit = make_editor(random_vgg).edit(
        photo, "smiling", dataset=dataset, near=near.pixels, k=10, face="whole"
    )
    (selection,) = edit.record["selections"]
    assert (selection["wanted"], selection["near"], selection["k"]) == ("Smiling", "pixels", 10)
    assert len(selection["source"]) == len(selection["target"]) == 10
    assert edit.record["vector"]["near"] == "pixels"


def test_a_photo_of_the_dataset_gets_its_annotation(random_vgg, lfw_folder):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    photo = dataset.folder / dataset.names[3]
    edit = make_editor(random_vgg).edit(photo, "Smiling", dataset=dataset, k=10)
    assert edit.placement.box == (40, 20, 210, 190)
    person = dataset.names[3].partition("/")[0]
    (selection,) = edit.record["selections"]
    others = {name.partition("/")[0] for name in selection["source"] + selection["target"]}
    assert person not in others


def test_several_attributes_form_one_vector(random_vgg, lfw_folder, photo):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    editor = make_editor(random_vgg, cache=Cache())
    options = {"dataset": dataset, "photo": photo, "near": near.pixels, "face": "whole"}
    found = [
        editor.vector(attribute, **options)
        for attribute in (
            {"Smiling": 1.0, "~Mouth Slightly Open": 0.5},
            "Smiling, ~Mouth Slightly Open = 0.5",
        )
    ]
    for vector in found:
        assert vector.provenance.attributes == ("1 × Smiling", "0.5 × ~Mouth Slightly Open")
        for name, layer in vector.features.items():
            np.testing.assert_array_equal(layer, found[0].features[name])
    with pytest.raises(InputError, match="'Smilling' doesn't exist; did you mean Smiling"):
        editor.vector("Smilling=1", **options)


def test_a_starter_and_a_file_are_vectors_too(random_vgg, vector, tmp_path):
    editor = make_editor(random_vgg)
    vector.save(tmp_path / "mine.safetensors")
    for path in (tmp_path / "mine.safetensors", str(tmp_path / "mine.safetensors")):
        assert editor.vector(path).provenance == vector.provenance
    assert editor.vector("eyeglasses,older=0.5").provenance.attributes == (
        "1 × Eyeglasses",
        "0.5 × ~Young",
    )
    for single in ("older", {"older": 1.0}):  # It isn't described as a sum of one vector.
        assert editor.vector(single).provenance == starter("older").provenance


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("taller", "choose from bangs, beard"),
        ("eyeglasses,eyeglasses", "has the same name twice"),
        ("eyeglasses=much", "has the strength 'much'"),
        ("eyeglasses=inf", "has the strength 'inf'"),
        ("eyeglasses=1e30", r"has the strength '1e30'; give a number up to 1e\+06"),
        ("older,Older", "has the same name twice"),
        ("smile.safetensors=0.5", "has a file among names; give the file alone"),
        ({}, "give"),
        ("eyeglasses,", "lacks a name"),
        ("absent.safetensors", "doesn't exist"),
    ],
)
def test_an_attribute_that_does_not_exist_is_one_sentence(random_vgg, pixels, attribute, message):
    with pytest.raises((InputError, FileError), match=message):
        make_editor(random_vgg).edit(pixels, attribute, face="whole")


def test_what_selection_rejects_is_known_before_anything_slow(random_vgg, lfw_folder, photo):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    seen = []
    for options, message in (
        ({"near": near.features("conv5_4")}, "has no layer"),
        ({"k": 0}, "k is 0"),
    ):
        with pytest.raises(InputError, match=message):
            make_editor(random_vgg).select(
                "Smiling",
                dataset=dataset,
                photo=photo,
                face="whole",
                on_progress=seen.append,
                **options,
            )
    assert seen == []


def test_images_near_in_the_features_of_a_layer_are_selected(random_vgg, lfw_folder, photo):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    chosen = make_editor(random_vgg).select(
        "Smiling",
        dataset=dataset,
        photo=photo,
        k=3,
        near=near.features("conv1_1"),
        face="whole",
    )

    def describe(face):
        return phi(random_vgg, face, "conv1_1")

    whole = resize(read(photo), (200, 200))
    mine = describe(resize(whole, (32, 32)))
    distance = [float(np.linalg.norm(describe(dataset.face(i, 32)) - mine)) for i in range(48)]
    smiling = sorted((i for i in range(48) if i // 2 % 2), key=distance.__getitem__)
    assert chosen.target.tolist() == smiling[:3]


@pytest.mark.parametrize(("own", "count"), [(0, 5), (0, 68), (5, 5), (5, 68)])
def test_landmarks_are_detected_if_a_dataset_has_none_or_too_few(
    random_vgg, lfw_folder, monkeypatch, own, count
):
    dataset = load_dataset(f"lfw:{lfw_folder}")
    noise = np.random.default_rng(0).normal(0, 5, (48, 68, 2))
    shapes = CANONICAL_LANDMARKS + noise if count == 68 else CANONICAL_POINTS + noise[:, :5]
    if own:
        dataset = dataclasses.replace(dataset, landmarks=CANONICAL_POINTS + noise[:, :5])
    asked = []

    def detect(of, rows, *, points, cache, on_progress):
        asked.extend(rows)
        assert points == count
        return shapes[rows]

    monkeypatch.setattr("dfi_jax.data.landmarks.detect", detect)
    monkeypatch.setattr("dfi_jax.data.landmarks.nearest", lambda *_, **__: shapes[5])
    monkeypatch.setattr("dfi_jax.photo.faces.installed", lambda: True)
    options = {"dataset": dataset, "photo": dataset.folder / dataset.names[0]}
    editor = make_editor(random_vgg)
    nearness = near.landmarks(first=near.scores, points=count)
    chosen = editor.select("Smiling", k=3, near=nearness, **options)
    candidates = editor.select("Smiling", k=12, near=near.scores, **options)
    needed = [] if own == count else [*candidates.source, *candidates.target]
    assert sorted(asked) == sorted(needed)
    assert set(chosen.target) <= set(candidates.target)


def test_a_vector_of_another_network_is_rejected(vector, pixels):
    other = make_editor(load_vgg("random-vgg16", seed=1))
    with pytest.raises(InputError, match="made with the network random-vgg16"):
        other.edit(pixels, vector, face="whole")
