"""L-BFGS-B through the queue, against SciPy called on an objective in float64."""

import jax
import numpy as np
import pytest
from builders import make_vector, singles, small_recipe

from dfi_jax import (
    LBFGSB,
    Box,
    InputError,
    Recipe,
    make_problem,
    objective,
    reconstruct,
)
from dfi_jax.network.weights.catalog import CAFFE

optimize = pytest.importorskip("scipy.optimize")

WIDE, NARROW = Box(), Box(low=-40, high=30)


@pytest.fixture(scope="module")
def make(random_vgg, waves):
    """A function that makes the recipe, the network and problems."""

    def make(solver, *, bounds=WIDE, preprocess=CAFFE, count=1, alpha=30.0):
        recipe = small_recipe(objective__loss="sum_squares", vector="unit")
        stage = recipe.objective.replace(bounds=bounds)
        recipe = recipe.replace(objective=stage, solver=solver)
        vgg = random_vgg.replace(preprocess=preprocess)
        vector = make_vector(vgg, recipe).features
        problem = make_problem(vgg, waves[:count], vector, np.full(count, alpha), recipe=recipe)
        return recipe, vgg, problem

    return make


@pytest.mark.parametrize("bounds", [WIDE, NARROW, None])
@pytest.mark.parametrize("preprocess", ["caffe", "torchvision"])
def test_images_are_those_of_scipy_on_an_objective_in_float64(make, random_vgg, bounds, preprocess):
    pytest.importorskip("torch")
    from engine.torch_objective import TorchObjective

    units = CAFFE if preprocess == "caffe" else random_vgg.preprocess
    recipe, vgg, problem = make(
        LBFGSB(iterations=5, memory=3), bounds=bounds, preprocess=units, alpha=3000.0
    )
    mine = TorchObjective(vgg, problem)
    limits = None
    if bounds is not None:
        # Differences from the mean are grey levels, also where the network's units aren't.
        low, high = (
            np.broadcast_to(level / 255 / mine.unit, mine.start.shape).ravel()
            for level in (bounds.low, bounds.high)
        )
        limits = list(zip(low, high, strict=True))
    values = []

    def function(u):
        value, gradient = mine.value_and_gradient(u)
        values.append(value)
        return value, gradient.ravel()

    theirs = optimize.minimize(
        function,
        mine.start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"maxiter": 5, "maxcor": 3},
    )
    found = reconstruct(vgg, problem, recipe=recipe)
    np.testing.assert_allclose(found.images[0], mine.image(theirs.x), atol=1e-5)
    np.testing.assert_allclose(found.objective, theirs.fun, rtol=1e-5)
    assert (found.iterations[0], found.evaluations[0]) == (theirs.nit, theirs.nfev)
    assert found.history.shape == (1, len(values))
    assert np.abs(found.images - problem.start).max() > 1e-2


def test_pixels_stay_in_the_box_and_many_are_at_its_edge(make):
    recipe, vgg, problem = make(LBFGSB(iterations=10), bounds=NARROW, alpha=3000.0)
    levels = 255 * (reconstruct(vgg, problem, recipe=recipe).images - vgg.preprocess.mean_rgb)
    assert levels.min() >= NARROW.low - 1e-3
    assert levels.max() <= NARROW.high + 1e-3
    for edge in (NARROW.low, NARROW.high):
        assert (np.abs(levels - edge) < 1e-3).mean() > 0.01


def test_problems_pass_one_by_one_and_their_histories_never_rise(make):
    recipe, vgg, problem = make(LBFGSB(iterations=7), count=3)
    seen = []
    found = reconstruct(vgg, problem, recipe=recipe, every=3, on_progress=seen.append)
    queued = dict(reconstruct(vgg, singles(problem), recipe=recipe))
    for i, single in queued.items():
        np.testing.assert_array_equal(single.images[0], found.images[i])
        assert single.history.shape == (1, single.evaluations[0])
        assert single.history[0, -1] == np.float32(found.objective[i])
    assert np.all(np.diff(found.history) <= 0)
    for images, value in ((problem.start, found.history[:, 0]), (found.images, found.objective)):
        at = objective(vgg, jax.numpy.asarray(images), problem, recipe=recipe)
        np.testing.assert_allclose(value, at, rtol=1e-5)
    assert [(p.done, p.total, p.unit, p.in_flight.indices) for p in seen] == [
        (7 * i + done, 21, "iterations", [i]) for i in range(3) for done in (0, 3, 6, 7)
    ]
    assert seen[3].in_flight.objective[0] == found.objective[0]


@pytest.mark.parametrize(
    ("changes", "iterations", "evaluations"),
    [
        ({"evaluations": 4}, None, 5),  # SciPy ends after the iteration that has passed the limit.
        ({"gradient_tolerance": 1e9}, 0, 1),
        ({"objective_tolerance": 0.9}, 1, None),
        ({"tolerance": 0.9999}, 20, None),
    ],
)
def test_a_problem_ends_by_each_of_its_limits(make, changes, iterations, evaluations):
    recipe, vgg, problem = make(LBFGSB(iterations=40, **changes), alpha=3000.0)
    seen = []
    found = reconstruct(vgg, problem, recipe=recipe, every=50, on_progress=seen.append)
    if iterations is not None:
        assert found.iterations[0] == iterations
    if evaluations is not None:
        assert found.evaluations[0] <= evaluations
    assert seen[-1].done == found.iterations[0] < 40


def test_a_soft_penalty_on_pixels_is_minimised_with_the_objective(make):
    bounds = Recipe().objective.bounds
    recipe, vgg, problem = make(LBFGSB(iterations=10), bounds=bounds, alpha=1e5)
    found = reconstruct(vgg, problem, recipe=recipe)
    assert (found.images.min(), found.images.max()) == (0, 1)
    for images, value in ((problem.start, found.history[:, 0]), (found.images, found.objective)):
        at = objective(vgg, jax.numpy.asarray(images), problem, recipe=recipe)
        np.testing.assert_allclose(value, at, rtol=1e-5)


def test_it_cannot_be_traced(make):
    recipe, vgg, problem = make(LBFGSB())
    with pytest.raises(InputError, match="solver lbfgsb runs on the host, outside jit and vmap"):
        jax.jit(lambda problem: reconstruct(vgg, problem, recipe=recipe).images)(problem)


def test_a_box_is_for_it_alone_and_has_an_inside():
    recipe = Recipe(solver=LBFGSB())
    boxed = recipe.set({"objective.bounds": "box", "objective.bounds.high": "100"})
    assert boxed.objective.bounds == Box(low=-128.0, high=100.0)
    for change in ({"solver": "lbfgs"}, {"solver": "adam"}, {"solver": "unguarded_lbfgs"}):
        with pytest.raises(InputError, match=f"is box and its solver is {change['solver']}; set"):
            boxed.set(change)
    with pytest.raises(InputError, match=r"box\.low is 5 and its box\.high 5; give a low below"):
        Box(low=5, high=5)
