import jax.numpy as jnp
import numpy as np
from small_edits import RECIPE, make_editor

from dfi_jax import (
    LBFGSB,
    CancelResidual,
    Clip,
    FromNoise,
    MatchColor,
    Stretch,
    TransferDifference,
    UnguardedLBFGS,
    make_problem,
    reconstruct,
)
from dfi_jax.editor import solve
from dfi_jax.photo.image import resize


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
        finish=(CancelResidual(iterations=20, every=10),),
    )
    reports = []
    editor = make_editor(random_vgg, recipe)
    edit = editor.edit(pixels, vector, alphas=[0.3], face="whole", on_progress=reports.append)
    assert np.isfinite(edit.pixels[0]).all()
    assert [r.done for r in reports if r.phase == "residual"] == [1, 10, 20]


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
