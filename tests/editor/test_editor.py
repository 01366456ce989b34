import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe
from PIL import Image

from dfi_jax import (
    LBFGSB,
    CancelResidual,
    Clip,
    Editor,
    FileError,
    FromNoise,
    InputError,
    Job,
    Mask,
    MatchColor,
    Recipe,
    Stretch,
    TransferDifference,
    UnguardedLBFGS,
    Wanted,
    load_dataset,
    load_vgg,
    make_problem,
    near,
    reconstruct,
    starter,
)
from dfi_jax.editor import solve
from dfi_jax.manifest import read_manifest, run_jobs
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.image import resize
from dfi_jax.photo.photo import read
from dfi_jax.photo.placement import CANONICAL_POINTS
from dfi_jax.photo.warp import Warp
from dfi_jax.storage.cache import Cache

RECIPE = small_recipe(size=32, iterations=4)
BOX = (10, 5, 60, 55)


@pytest.fixture
def pixels():
    noise = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((80, 60), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32) / 255


@pytest.fixture(scope="module")
def vector(random_vgg):
    return make_vector(random_vgg, RECIPE)


def make_editor(vgg, recipe=RECIPE, **options):
    return Editor(**{"weights": vgg, "recipe": recipe, "cache": None} | options)


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


def test_a_margin_is_edited_too_and_cut_off(random_vgg, pixels):
    recipe = RECIPE.set({"finish": "", "features.preparation": "padding"})
    recipe = recipe.set({"features.preparation.padding.multiple": "24", "objective.bounds": "none"})
    vector = make_vector(random_vgg, recipe)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.3], face=BOX)
    face = resize(pixels[5:55, 10:60], (32, 32))
    padded = np.empty((1, 48, 48, 3), np.float32)
    padded[:] = random_vgg.preprocess.mean_rgb
    padded[:, 8:40, 8:40] = face
    problem = make_problem(random_vgg, padded, vector.features, jnp.array([0.3]), recipe=recipe)
    z = reconstruct(random_vgg, problem, recipe=recipe).images
    # Pixels are clipped at the end of an edit only.
    np.testing.assert_array_equal(edit.pixels[0], np.clip(z[0, 8:40, 8:40], 0, 1))
    np.testing.assert_array_equal(edit.face, face)
    assert np.abs(z - padded)[:, :8].max() > 1e-4


def test_a_face_that_was_stretched_returns_to_its_range(random_vgg, pixels):
    recipe = RECIPE.set({"finish": "", "features.preparation": "full_range"})
    recipe = recipe.set({"objective.bounds": "none"})
    vector = make_vector(random_vgg, recipe)
    dull = 0.2 + 0.5 * pixels
    edit = make_editor(random_vgg, recipe).edit(dull, vector, alphas=[0.3], face=BOX)
    face = resize(dull[5:55, 10:60], (32, 32))
    low, high = face.min(), face.max()
    stretched = jnp.asarray((face - low) / (high - low))[None]
    problem = make_problem(random_vgg, stretched, vector.features, [0.3], recipe=recipe)
    z = reconstruct(random_vgg, problem, recipe=recipe).images[0]
    np.testing.assert_allclose(edit.face, face, atol=1e-6)
    # A step of the solver enlarges the rounding of the range.
    np.testing.assert_allclose(edit.pixels[0], low + (high - low) * z, atol=1e-4)


def test_an_edit_of_nothing_leaves_the_photo_even_if_its_crop_is_rounded(random_vgg, pixels):
    recipe = RECIPE.set({"features.preparation": "eight_bits", "solver.iterations": "1"})
    vector = make_vector(random_vgg, recipe)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.0], face=BOX)
    np.testing.assert_array_equal(255 * edit.face, np.round(255 * edit.face))
    np.testing.assert_allclose(edit.pixels[0], pixels, atol=1e-7)


@pytest.mark.parametrize(
    "settings",
    [
        {  # chainer-dfi
            "features.pool_rounding": "up",
            "features.preparation": "eight_bits",
            "objective.total_variation": "total_variation",
            "start": "noise",
        },
        {  # the DFI authors' backend in PyTorch
            "features.preparation": "padding",
            "objective.loss": "sum_squares",
            "objective.total_variation": "total_variation",
            "objective.total_variation.positions": "inner",
            "objective.total_variation.floor": "0.001",
            "start": "previous",
        },
        {  # dfi-tensorflow, from noise
            "features.preparation": "full_range,eight_bits",
            "features.normalization": "l2",
            "features.normalization.scope": "concat",
            "objective.total_variation": "channel_sum",
            "objective.bounds": "linear",
            "start": "uniform",
        },
    ],
)
def test_what_the_published_systems_do_runs_together_and_is_recorded(random_vgg, pixels, settings):
    recipe = small_recipe(size=17, iterations=3, layers=("conv2_1",)).set(
        {"objective.bounds": "none"} | settings
    )
    vector = make_vector(random_vgg, recipe)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.2, 0.4], face=BOX)
    assert edit.faces.shape == (2, 17, 17, 3)
    assert np.all(np.isfinite(edit.faces))
    assert edit.objective[0] < edit.history[0, 0]
    assert Recipe.from_dict(edit.record["recipe"]) == recipe
    assert not np.array_equal(edit.pixels[1], pixels)


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
            after, before = (
                editor_features(random_vgg, image, name) for image in (face, edit.face)
            )
            shift += float(np.vdot(np.asarray(w), after - before))
        moves.append(shift)
    assert moves[0] > 0 > moves[1]


def editor_features(vgg, image, name):
    from dfi_jax import features

    return np.asarray(features(vgg, jnp.asarray(image)[None], layers=(name,))[name][0])


def test_nothing_changes_where_the_mask_is_black(random_vgg, vector, pixels):
    mask = np.zeros((60, 80), np.uint8)
    mask[:30] = 255
    edit = make_editor(random_vgg).edit(pixels, vector, alphas=[0.5], face="whole", mask=mask)
    difference = np.abs(edit.pixels[0] - pixels)
    assert difference[:25].max() > 0.001
    np.testing.assert_allclose(difference[35:], 0, atol=1e-6)
    kinds = [step["kind"] for step in edit.record["recipe"]["finish"]]
    assert kinds == ["mask", "transfer_difference"]


def test_a_warped_face_is_edited_as_the_average_face_and_its_difference_warped_back(
    random_vgg, vector, monkeypatch
):
    points = CANONICAL_LANDMARKS @ np.diag([0.9, 1.0]) + (16, 3)
    monkeypatch.setattr("dfi_jax.photo.faces.nearest", lambda _, place: place.map_points(points))
    y, x = np.mgrid[:32, :32] / 32
    photo = np.stack([np.sin(9 * x) / 3, np.cos(7 * y) / 3, x * y / 3], axis=-1) + 0.5
    recipe = RECIPE.replace(finish=())
    edited = make_editor(random_vgg, recipe).edit(
        photo.astype(np.float32), vector, alphas=(0.5,), face="whole", warp=True
    )
    warp, face = Warp.between(points, CANONICAL_LANDMARKS), edited.face
    average = warp.average_face(face)
    plain = make_editor(random_vgg, recipe).edit(average, vector, alphas=(0.5,), face="whole")
    expected = face + warp.back(plain.faces[0] - average)
    np.testing.assert_allclose(edited.faces[0], expected, atol=1e-3)
    assert np.abs(edited.faces[0] - face).max() > 0.05  # It was edited at all.
    assert (edited.record["warp"], plain.record["warp"]) == (True, False)


@pytest.mark.parametrize("found", [None, CANONICAL_LANDMARKS + 90])
def test_a_face_whose_landmarks_are_unknown_cannot_be_warped(
    random_vgg, vector, pixels, monkeypatch, found
):
    monkeypatch.setattr("dfi_jax.photo.faces.nearest", lambda pixels, placement: found)
    with pytest.raises(InputError, match="no face was detected where"):
        make_editor(random_vgg).edit(pixels, vector, face="whole", warp=True)


def test_landmarks_of_a_warp_are_detected_once(random_vgg, vector, pixels, monkeypatch):
    asked = []

    def nearest(pixels, placement):
        asked.append(placement)
        return placement.map_points(CANONICAL_LANDMARKS)

    monkeypatch.setattr("dfi_jax.photo.faces.nearest", nearest)
    editor = make_editor(random_vgg, cache=Cache())
    for _ in range(2):
        editor.edit(pixels, vector, face="whole", warp=True)
    assert len(asked) == 1


def test_a_mask_of_another_size_or_none_where_one_is_needed_is_rejected(random_vgg, vector, pixels):
    with pytest.raises(
        InputError, match="the mask photo is 10 × 20 pixels and the photo is 80 × 60"
    ):
        make_editor(random_vgg).edit(pixels, vector, face=BOX, mask=np.zeros((20, 10)))
    needing = RECIPE.replace(finish=(Mask(),))
    with pytest.raises(InputError, match="has the step mask, but photo has no mask"):
        make_editor(random_vgg, needing).edit(pixels, vector, face=BOX)


def test_a_residual_has_as_many_candidates_as_documented_and_none_is_the_noise(
    random_vgg, vector, pixels, monkeypatch
):
    step = CancelResidual(iterations=60, every=20)
    recipe = RECIPE.replace(
        objective=RECIPE.objective.replace(bounds=None),
        start=FromNoise(),
        finish=(MatchColor(), step),
    )
    kept = []

    def solve_unedited(*arguments, **options):
        kept.extend(solve.solve_unedited(*arguments, **options))
        return kept

    monkeypatch.setattr("dfi_jax.editor.editor.solve_unedited", solve_unedited)
    bright = np.clip(2 * pixels - 0.2, 0, 1)
    edit = make_editor(random_vgg, recipe).edit(bright, vector, alphas=[0.0], face="whole")
    assert len(kept) == step.iterations // step.every == 3
    start = FromNoise().images(jnp.asarray(edit.face)[None], random_vgg.preprocess.mean_rgb)[0]
    errors = [float(np.abs(image - edit.face).mean()) for image in kept]
    assert errors == sorted(errors, reverse=True)  # Each is nearer to the face than the last.
    for image in kept:
        assert np.abs(image - np.asarray(start)).mean() > 0.01
    assert max(image.max() for image in kept) > 1  # The solver's images aren't clipped.


def test_the_residual_takes_all_its_iterations_whatever_the_tolerance_and_reports_them(
    random_vgg, vector, pixels
):
    recipe = RECIPE.replace(
        solver=RECIPE.solver.replace(tolerance=0.9),
        finish=(CancelResidual(iterations=80, every=40),),
    )
    reports = []
    editor = make_editor(random_vgg, recipe)
    edit = editor.edit(pixels, vector, alphas=[0.3], face="whole", on_progress=reports.append)
    assert np.isfinite(edit.pixels[0]).all()
    assert [r.done for r in reports if r.phase == "residual"] == [1, 40, 80]


def test_candidates_are_iterates_if_the_solver_returns_its_last_image(
    random_vgg, vector, pixels, monkeypatch
):
    solver = UnguardedLBFGS(iterations=3, change_tolerance=0.0, gradient_tolerance=0.0)
    recipe = RECIPE.replace(
        objective=RECIPE.objective.replace(bounds=None),
        start=FromNoise(),
        solver=solver,
        finish=(CancelResidual(iterations=6, every=2),),
    )
    kept = []

    def solve_unedited(*arguments, **options):
        kept.extend(solve.solve_unedited(*arguments, **options))
        return kept

    monkeypatch.setattr("dfi_jax.editor.editor.solve_unedited", solve_unedited)
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.3], face="whole")
    assert (edit.record["iterations"], edit.record["evaluations"]) == ([3], [4])
    x = jnp.asarray(edit.face)[None]
    problem = make_problem(random_vgg, x, vector.features, [0.0], recipe=recipe)
    seen, long = [], recipe.replace(solver=solver.replace(iterations=6))
    reconstruct(random_vgg, problem, recipe=long, every=1, on_progress=seen.append)
    assert [p.done for p in seen] == [1, 2, 3, 4, 5, 6, 7]
    # After seven evaluations, that of the start included, six steps have been taken.
    for image, steps in zip(kept, (2, 4, 6), strict=True):
        np.testing.assert_allclose(image, seen[steps].in_flight.images[0], atol=1e-6)


def test_a_residual_that_ends_early_has_its_last_image(random_vgg, vector, pixels):
    recipe = RECIPE.replace(
        solver=LBFGSB(iterations=4, gradient_tolerance=1e9),
        finish=(CancelResidual(iterations=6, every=2),),
    )
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.3], face="whole")
    assert (edit.record["iterations"], edit.record["evaluations"]) == ([0], [1])
    np.testing.assert_allclose(edit.pixels[0], edit.face, atol=1e-6)


def test_at_strength_0_chainer_dfi_gives_the_face_back(random_vgg, vector, pixels):
    # The edit is then its own residual, and nothing is left of it.
    recipe = RECIPE.replace(
        objective=RECIPE.objective.replace(bounds=None),
        start=FromNoise(),
        finish=(MatchColor(), CancelResidual(iterations=4, every=4)),
    )
    edit = make_editor(random_vgg, recipe).edit(pixels, vector, alphas=[0.0], face="whole")
    np.testing.assert_allclose(edit.pixels[0], edit.face, atol=1e-3)


def test_colour_is_matched_before_pixels_are_clipped(random_vgg, vector, pixels):
    recipe = RECIPE.replace(objective=RECIPE.objective.replace(bounds=None), finish=(MatchColor(),))
    high = np.clip(3 * pixels - 1, 0, 1)  # Strong contrast makes the solver overshoot.
    edit = make_editor(random_vgg, recipe).edit(high, vector, alphas=[3.0], face="whole")
    z, x = edit.faces[0], edit.face
    assert ((z < 0) | (z > 1)).mean() > 0.01
    scale = x.std(axis=(0, 1)) / z.std(axis=(0, 1))
    expected = (z - z.mean(axis=(0, 1))) * scale + x.mean(axis=(0, 1))
    np.testing.assert_allclose(edit.pixels[0], np.clip(expected, 0, 1), atol=1e-5)


def test_a_later_strength_starts_where_the_previous_one_ended(random_vgg, vector, pixels):
    recipe = RECIPE.set({"start": "previous"})
    seen = []
    edit = make_editor(random_vgg, recipe).edit(
        pixels, vector, alphas=[0.1, 0.4], face=BOX, on_progress=seen.append
    )
    x = jnp.asarray(edit.face)[None]
    w = vector.features
    first = make_problem(random_vgg, x, w, jnp.array([0.1]), recipe=recipe)
    middle = reconstruct(random_vgg, first, recipe=recipe).images
    second = make_problem(
        random_vgg, x, w, jnp.array([0.4]), recipe=recipe, start=jnp.asarray(middle)
    )
    expected = reconstruct(random_vgg, second, recipe=recipe).images[0]
    np.testing.assert_array_equal(edit.faces[1], expected)
    counted = [(p.done, p.total) for p in seen if p.phase == "reconstruction"]
    assert counted == [(1, 8), (4, 8), (5, 8), (8, 8)]


@pytest.mark.parametrize("start", ["image", "previous"])
def test_compiling_is_reported_without_a_number_of_evaluations(random_vgg, vector, pixels, start):
    seen, recipe = [], RECIPE.set({"start": start})
    make_editor(random_vgg, recipe).edit(
        pixels, vector, alphas=[0.1, 0.4], face=BOX, on_progress=seen.append
    )
    assert [p.phase for p in seen][:2] == ["opening the photo", "compiling"]
    totals = {p.phase: p.total for p in seen}
    assert totals == {"opening the photo": None, "compiling": None, "reconstruction": 8}


def test_later_strengths_take_fewer_iterations_from_the_clipped_result(random_vgg, vector, pixels):
    recipe = RECIPE.replace(objective=RECIPE.objective.replace(bounds=None)).set(
        {"start": "previous", "start.later_iterations": "0.5"}
    )
    high, seen = np.clip(3 * pixels - 1, 0, 1), []
    edit = make_editor(random_vgg, recipe).edit(
        high, vector, alphas=[2.0, 3.0, 4.0], face="whole", on_progress=seen.append
    )
    assert edit.iterations.tolist() == [4, 2, 2]
    assert (seen[-1].done, seen[-1].total) == (8, 8)
    outside = (edit.faces[0] < 0) | (edit.faces[0] > 1)
    assert outside.mean() > 0.01
    problem = make_problem(
        random_vgg,
        jnp.asarray(edit.face)[None],
        vector.features,
        [3.0],
        recipe=recipe,
        start=np.clip(edit.faces[:1], 0, 1),
    )
    short = recipe.set({"solver.iterations": "2"})
    expected = reconstruct(random_vgg, problem, recipe=short)
    np.testing.assert_allclose(edit.faces[1], expected.images[0], atol=1e-5)


def test_the_range_of_a_result_can_be_stretched_and_its_difference_truncated(
    random_vgg, vector, pixels
):
    unbounded = RECIPE.replace(objective=RECIPE.objective.replace(bounds=None))
    stretched = unbounded.replace(finish=(Stretch(),))
    edit = make_editor(random_vgg, stretched).edit(pixels, vector, alphas=[2.0], face="whole")
    z = edit.faces[0]
    np.testing.assert_allclose(edit.pixels[0], (z - z.min()) / np.ptp(z), atol=1e-6)

    matched = unbounded.replace(finish=(Clip(), MatchColor(over="image")))
    edit = make_editor(random_vgg, matched).edit(pixels, vector, alphas=[2.0], face="whole")
    z, x = np.clip(edit.faces[0], 0, 1), edit.face
    expected = (z - z.mean()) * x.std() / z.std() + x.mean()
    np.testing.assert_allclose(edit.pixels[0], np.clip(expected, 0, 1), atol=1e-5)

    cut = unbounded.replace(finish=(TransferDifference(truncate=True),))
    square = resize(pixels, (32, 32))
    edit = make_editor(random_vgg, cut).edit(square, vector, alphas=[2.0], face="whole")
    levels = 255 * (edit.faces[0] - edit.face)
    expected = np.clip(square + np.floor(levels).clip(-128, 127) / 255, 0, 1)
    np.testing.assert_allclose(edit.pixels[0], expected, atol=1e-5)


def test_alone_in_a_sweep_and_in_a_manifest_the_bytes_are_the_same(
    random_vgg, vector, pixels, tmp_path
):
    # With 100 iterations each, Winograd's convolutions are used, and 300 iterations are queued.
    editor = make_editor(random_vgg, small_recipe(size=32, iterations=100))
    vector.save(tmp_path / "smile.safetensors")
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
    editor = make_editor(random_vgg)
    vector = editor.vector(
        {"Smiling": 1.0, "~Mouth Slightly Open": 0.5}, dataset=dataset, photo=photo, face="whole"
    )
    assert vector.provenance.attributes == ("1 × Smiling", "0.5 × ~Mouth Slightly Open")


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

    def phi(face):
        return editor_features(random_vgg, face, "conv1_1")

    whole = resize(read(photo), (200, 200))
    mine = phi(resize(whole, (32, 32)))
    distance = [float(np.linalg.norm(phi(dataset.face(i, 32)) - mine)) for i in range(48)]
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "best"}, "'best' doesn't exist; choose from default"),
        ({"batch_size": 0}, "batch_size is 0; give 1 to 1,000,000"),
        ({"batch_size": 10**400}, "; give 1 to 1,000,000"),
        ({"weights": "vgg11"}, "vgg11"),
    ],
)
def test_an_editor_that_cannot_be_is_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        Editor(**options).load()


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ([], "alphas is empty"),
        ([0.1, np.nan], "alpha is nan"),
        ([np.inf], "alpha is inf"),
        ([0.1, 1.1e6], r"alpha is 1\.1e\+06; give a number from -1e\+06 to 1e\+06"),
        ([-1.1e6], r"alpha is -1\.1e\+06"),
        ([0.1, 0.1000000001], r"alpha 0\.1 is given twice"),
    ],
)
def test_strengths_that_cannot_be_are_one_sentence(alphas, message):
    with pytest.raises(InputError, match=message):
        Job(photo="me.jpg", attribute="older", alphas=alphas)
    Job(photo="me.jpg", attribute="older", alphas=[-1e6, 1e6])


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"photo": "a folder/me.at.home.jpg"}, "me-at-home-older"),
        ({"photo": Path("me.jpg"), "attribute": Path("to/smile.safetensors")}, "me-smile"),
        ({"attribute": "to/smile.safetensors"}, "photo-smile"),
        ({"attribute": {"older": 0.5, "beard": -1}}, "photo-older-0-5-beard--1"),
        (
            {"photo": Image.new("L", (9, 9)), "attribute": Wanted.parse("Male, ~Young")},
            "photo-Male-~Young",
        ),
        ({"photo": "me.jpg", "name": "mine"}, "mine"),
    ],
)
def test_a_job_is_named_after_its_photo_and_its_attribute(pixels, options, label):
    assert Job(**{"photo": pixels, "attribute": "older"} | options).label == label


def test_what_is_saved_is_what_was_edited(random_vgg, vector, photo, tmp_path):
    edit = make_editor(random_vgg).edit(photo, vector, alphas=[0.2, -0.5], face="whole")
    folder = tmp_path / "deep" / "results"
    written = edit.save(folder)
    assert sorted(folder.iterdir()) == sorted(written)
    assert [path.name for path in written] == [
        "alpha-0.2.png",
        "alpha--0.5.png",
        "sheet.png",
        "loss.png",
        "result.json",
    ]
    for path in written[:-1]:
        with Image.open(path) as picture:
            picture.load()
    saved = read(folder / "alpha-0.2.png")
    np.testing.assert_allclose(saved, edit.pixels[0], atol=0.5 / 255 + 1e-6)
    assert json.loads(written[-1].read_text()) == json.loads(json.dumps(edit.record))


def test_a_jpeg_gives_jpegs(random_vgg, vector, photo, tmp_path):
    with Image.open(photo) as picture:
        picture.save(tmp_path / "me.jpeg")
    edit = make_editor(random_vgg).edit(tmp_path / "me.jpeg", vector, face="whole")
    edit.save(tmp_path / "out")
    with Image.open(tmp_path / "out" / "alpha-1.jpg") as picture:
        assert picture.format == "JPEG"


def test_a_folder_with_files_is_only_written_to_if_told(random_vgg, vector, pixels, tmp_path):
    edit = make_editor(random_vgg).edit(pixels, vector, face=BOX)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="already holds files"):
        edit.save(tmp_path)
    edit.save(tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(FileError, match="is a file; choose a folder"):
        edit.save(tmp_path / "notes.txt", overwrite=True)
