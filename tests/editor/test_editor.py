import gc
import json
import weakref

import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe
from PIL import Image
from small_edits import BOX, RECIPE, make_editor, phi

from dfi_jax import (
    FileError,
    InputError,
    Job,
    Mask,
    Recipe,
    load_dataset,
    make_problem,
    reconstruct,
)
from dfi_jax.editor import assembly
from dfi_jax.manifest import read_manifest, run_jobs
from dfi_jax.photo.image import resize
from dfi_jax.photo.photo import read, write


def test_without_finishing_steps_an_edit_is_the_reconstruction(random_vgg, vector, pixels):
    recipe = RECIPE.set({"finish": ""})
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.3], face=BOX)
    face = resize(pixels[5:55, 10:60], (32, 32))
    alpha = jnp.array([0.3])
    problem = make_problem(
        random_vgg, jnp.asarray(face)[None], vector.features, alpha, recipe=recipe
    )
    expected = reconstruct(random_vgg, problem, recipe=recipe)
    np.testing.assert_array_equal(edit.face, face)
    np.testing.assert_array_equal(edit.pixels[0], expected.images[0])
    np.testing.assert_array_equal(edit.objective, expected.objective)
    assert edit.history.shape == (1, 4)


def test_the_difference_goes_into_the_photo_inside_the_box_only(random_vgg, vector, pixels):
    edit = make_editor(random_vgg).edit(pixels, vector, alphas=[0.2, 0.5], face=BOX)
    assert [photo.size for photo in edit.photos] == [(80, 60), (80, 60)]
    changed = np.abs(np.stack(edit.pixels) - pixels).max(axis=(0, 3)) > 1e-6
    assert changed[6:54, 11:59].mean() > 0.5
    changed[5:55, 10:60] = False
    assert not changed.any()
    assert [view.shape for view in edit.views()] == [(50, 50, 3)] * 3
    assert edit.sheet().width == 3 * 308 + 8


def test_the_sign_of_alpha_decides_the_direction(random_vgg, vector, pixels):
    editor = make_editor(random_vgg, small_recipe(size=32, iterations=20, vector="gain"))
    edit = editor.edit(pixels, vector, alphas=[2.0, -2.0], face="whole")
    moves = []
    for face in edit.faces:
        shift = 0.0
        for name, w in vector.features.items():
            after, before = (phi(random_vgg, image, name) for image in (face, edit.face))
            shift += float(np.vdot(np.asarray(w), after - before))
        moves.append(shift)
    assert moves[0] > 0 > moves[1]


def test_nothing_changes_where_the_mask_is_black(random_vgg, vector, pixels):
    mask = np.zeros((60, 80), np.uint8)
    mask[:30] = 255
    edit = make_editor(random_vgg).edit(pixels, vector, alphas=[0.5], face="whole", mask=mask)
    difference = np.abs(edit.pixels[0] - pixels)
    assert difference[:25].max() > 0.001
    np.testing.assert_allclose(difference[35:], 0, atol=1e-6)
    kinds = [step["kind"] for step in edit.record["recipe"]["finish"]]
    assert kinds == ["mask", "transfer_difference"]


def test_a_mask_of_another_size_or_none_where_one_is_needed_is_rejected(random_vgg, vector, pixels):
    with pytest.raises(
        InputError, match="the mask photo is 10 × 20 pixels and the photo is 80 × 60"
    ):
        make_editor(random_vgg).edit(pixels, vector, face=BOX, mask=np.zeros((20, 10)))
    needing = RECIPE.replace(finish=(Mask(),))
    with pytest.raises(InputError, match="has the step mask, but photo has no mask"):
        make_editor(random_vgg, needing).edit(pixels, vector, face=BOX)


def test_alone_in_a_sweep_and_in_a_manifest_the_bytes_are_the_same(random_vgg, pixels, tmp_path):
    # From 30 iterations each, Winograd's convolutions are used.
    recipe = small_recipe(size=32, iterations=30, layers=("conv1_2",))
    editor = make_editor(random_vgg, recipe)
    make_vector(random_vgg, recipe).save(tmp_path / "smile.safetensors")
    lines = []
    for i in range(3):
        shifted = np.roll(pixels, i, axis=1)
        Image.fromarray(np.round(255 * shifted).astype(np.uint8)).save(tmp_path / f"{i}.png")
        line = {"photo": f"{i}.png", "attribute": "smile.safetensors", "alphas": [0.3]}
        lines.append(json.dumps(line | {"face": list(BOX), "name": f"{i}"}))
    manifest = tmp_path / "jobs.jsonl"
    manifest.write_text("\n".join(lines))
    outcomes = []
    run_jobs(editor, read_manifest(manifest), tmp_path, on_outcome=outcomes.append)
    assert [outcome.failure for outcome in outcomes] == [None] * 3

    photo, smile = tmp_path / "2.png", tmp_path / "smile.safetensors"
    editor.edit(photo, smile, alphas=[0.3], face=BOX).save(tmp_path / "alone")
    strengths = [0.1, 0.3, 0.5]
    editor.edit(photo, smile, alphas=strengths, face=BOX).save(tmp_path / "sweep")
    files = {}
    for name in ("alone", "sweep", "1", "2"):
        files[name] = (tmp_path / name / "alpha-0.3.png").read_bytes()
        record = json.loads((tmp_path / name / "result.json").read_text())
        assert record["network"]["convolution"] == "winograd"
    assert files["alone"] == files["sweep"] == files["2"] != files["1"]


def test_jobs_in_one_queue_are_edited_as_each_alone(random_vgg, photo):
    vectors = [make_vector(random_vgg, RECIPE, seed) for seed in range(2)]
    picture = read(photo)
    jobs = [
        Job(photo=photo, attribute=vectors[0], alphas=(0.1, 0.3), face="whole"),
        Job(photo=picture, attribute=vectors[1], alphas=(0.2,), face=(10, 10, 80, 80)),
        Job(photo=picture[::-1], attribute=vectors[0], alphas=(-0.2, 0.4, 0.5), face="whole"),
    ]
    editor = make_editor(random_vgg, batch_size=2)
    found = dict(editor.edit_many(jobs))
    assert set(found) == set(jobs)
    for job, edit in found.items():
        alone = make_editor(random_vgg).edit(
            job.photo, job.attribute, alphas=job.alphas, face=job.face
        )
        for a, b in zip(edit.pixels, alone.pixels, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)
        assert edit.history.shape == alone.history.shape


@pytest.mark.parametrize("start", ["image", "previous"])
def test_a_photo_is_forgotten_once_its_edit_is(random_vgg, vector, pixels, start):
    editor = make_editor(random_vgg, RECIPE.set({"start": start, "solver.iterations": "1"}))
    edits = editor.edit_many(Job(photo=pixels, attribute=vector, face="whole") for _ in range(9))
    photos = [weakref.ref(next(edits)[1].photo) for _ in range(4)]
    gc.collect()
    assert [photo() for photo in photos[:3]] == [None] * 3


def test_a_job_that_fails_is_told_and_the_others_continue(random_vgg, vector, photo):
    jobs = [
        Job(photo="absent.png", attribute=vector, name="absent"),
        Job(photo=photo, attribute=vector, face="whole", name="good"),
        Job(photo=photo, attribute=vector, face=(0, 0, 500, 500), name="outside"),
    ]
    failures = {}

    def fail(job, error):
        failures[job.name] = str(error)

    done = make_editor(random_vgg).edit_many(jobs, on_failure=fail)
    assert [job.name for job, _ in done] == ["good"]
    assert "absent.png" in failures["absent"]
    assert "doesn't lie inside the photo" in failures["outside"]
    with pytest.raises(FileError, match=r"absent\.png"):
        list(make_editor(random_vgg).edit_many(jobs))


def test_a_photo_that_does_not_fit_into_memory_ends_no_other_edit(
    random_vgg, vector, pixels, monkeypatch
):
    crop = assembly.crop_face

    def crop_face(located, **options):
        if located.photo.size == (60, 80):
            raise MemoryError
        return crop(located, **options)

    monkeypatch.setattr(assembly, "crop_face", crop_face)
    photos = {"large": np.swapaxes(pixels, 0, 1), "small": pixels}
    jobs = [Job(photo=p, attribute=vector, face="whole", name=n) for n, p in photos.items()]
    failures = {}
    done = make_editor(random_vgg).edit_many(
        jobs, on_failure=lambda job, error: failures.update({job.name: str(error)})
    )
    assert [job.name for job, _ in done] == ["small"]
    assert failures == {"large": "large needs more memory than there is; make its photo smaller."}
    with pytest.raises(MemoryError):
        list(make_editor(random_vgg).edit_many(jobs))


def test_an_image_that_changes_during_an_edit_is_recorded_as_it_was_used(
    random_vgg, pixels, tmp_path
):
    for name in ("without", "with"):
        write(tmp_path / name / "0.png", pixels)
    people = load_dataset(f"pair:{tmp_path / 'without'}:{tmp_path / 'with'}")
    options = {"dataset": people, "k": 1, "face": "whole"}
    expected = make_editor(random_vgg).edit(pixels, "Target", **options).record["selections"]

    def change(progress):
        if progress.phase == "compiling":
            write(tmp_path / "without" / "0.png", 1 - pixels)
            (tmp_path / "with" / "0.png").unlink()

    edit = make_editor(random_vgg).edit(pixels, "Target", **options, on_progress=change)
    assert not (tmp_path / "with" / "0.png").exists()
    assert edit.record["selections"] == expected


def test_the_same_input_gives_the_same_record_apart_from_seconds(random_vgg, vector, photo):
    records = []
    for _ in range(2):
        edit = make_editor(random_vgg).edit(photo, vector, alphas=(0.2, -0.5), face="whole")
        seconds = edit.record.pop("seconds")
        assert set(seconds) == {"photo", "vector", "reconstruction", "finish"}
        records.append(json.dumps(edit.record))
    assert records[0] == records[1]


def test_a_record_says_how_the_edit_was_made(random_vgg, vector, photo):
    edit = make_editor(random_vgg).edit(photo, vector, alphas=(0.2, -0.5), face="whole")
    record = json.loads(json.dumps(edit.record))
    assert record["photo"]["name"] == "me.png"
    assert record["photo"]["size"] == [120, 140]
    assert len(record["photo"]["sha256"]) == len(record["vector"]["sha256"]) == 64
    assert record["attribute"] == "Smiling"
    assert record["alphas"] == [0.2, -0.5]
    assert (record["face"], record["placement"]) == ("whole", [0, 0, 120, 140])
    assert Recipe.from_dict(record["recipe"]) == RECIPE
    assert record["vector"]["attributes"] == ["Smiling"]
    assert record["network"]["sha256"] == random_vgg.sha256
    assert record["network"]["convolution"] == "direct"
    assert np.shape(record["history"]) == (2, 4)
    assert record["objective"] == [row[-1] for row in record["history"]]
    assert record["device"]["platform"] == "cpu"
    assert {"python", "jax", "numpy", "dfi-jax"} <= set(record["versions"])
