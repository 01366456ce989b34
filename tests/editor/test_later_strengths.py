import jax.numpy as jnp
import numpy as np
import pytest
from small_edits import BOX, RECIPE, make_editor

from dfi_jax import make_problem, reconstruct


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
