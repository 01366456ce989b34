"""L-BFGS without a safeguard, against float64: NumPy from the originals' formulas, and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_vector, small_recipe
from engine.numpy_lbfgs import reference

from dfi_jax import UnguardedLBFGS, make_problem, objective, reconstruct
from dfi_jax.engine.unguarded_lbfgs import unguarded_lbfgs
from dfi_jax.network.weights.catalog import CAFFE

CHAINER = UnguardedLBFGS(
    memory=5,
    first_step="gradient",
    curvature_floor=1e-5,
    gradient_tolerance=0.0,
    change_tolerance=0.0,
)
"""The fields of chainer-dfi."""


def bowl_gradient(x):
    """The gradient of Σ wᵢ·(xᵢ² + (xᵢ − 1)⁴/20), with w from 0.3 to 1.3."""
    weights = np.linspace(0.3, 1.3, x.size)
    return weights * (2 * x + (x - 1) ** 3 / 5)


def ripples_gradient(x):
    """The gradient of Σ 1 − cos(1.7·xᵢ) + xᵢ²/20."""
    return 1.7 * np.sin(1.7 * x) + 0.1 * x


def follow(recipe, gradient, x, *, count):
    """The points of the solver under test."""
    solver, at = unguarded_lbfgs(recipe), jnp.asarray(x, jnp.float32)
    update, state, points = jax.jit(solver.update), solver.init(at), [x]
    for _ in range(count):
        g = jnp.asarray(gradient(np.asarray(at, np.float64)), jnp.float32)
        step, state = update(g, state, at, value=jnp.float32(1.0))
        at = at + step
        points.append(np.asarray(at))
    return np.array(points), state


def options(recipe):
    """What the reference needs to know of a recipe."""
    return {
        "first": recipe.first_step,
        "memory": recipe.memory,
        "floor": recipe.curvature_floor,
        "relaxation": recipe.relaxation,
    }


@pytest.mark.parametrize("recipe", [CHAINER, UnguardedLBFGS(), UnguardedLBFGS(relaxation=0.7)])
def test_points_are_those_of_the_formulas_in_float64(recipe):
    x = np.random.default_rng(1).normal(size=12)
    expected, kept = reference(bowl_gradient, x, count=9, **options(recipe))
    found, _ = follow(recipe, bowl_gradient, x, count=9)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert kept == 8


@pytest.mark.parametrize("recipe", [CHAINER, UnguardedLBFGS()])
def test_pairs_without_curvature_are_left_out_and_the_scale_stays(recipe):
    x = 1.6 + np.random.default_rng(0).normal(size=12) * 0.4  # The ripples curve downwards here.
    expected, kept = reference(ripples_gradient, x, count=9, **options(recipe))
    found, _ = follow(recipe, ripples_gradient, x, count=9)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert kept == 7


def test_small_curvatures_are_divided_by_as_if_they_were_at_the_floor():
    x = np.random.default_rng(0).normal(size=12)
    points = {}

    def faint(x):
        return 1e-3 * bowl_gradient(x)

    for floor in (0.0, 1e-5):
        recipe = CHAINER.replace(curvature_floor=floor)
        points[floor], _ = follow(recipe, faint, x, count=4)
        expected, _ = reference(faint, x, count=4, first="gradient", floor=floor)
        np.testing.assert_allclose(points[floor], expected, atol=2e-5)
    assert np.abs(points[0.0] - points[1e-5]).max() > 0.1


def test_a_function_that_only_curves_downwards_leaves_no_pairs():
    x = np.random.default_rng(2).normal(size=12)
    _, state = follow(CHAINER, lambda x: -x, x, count=4)
    assert not state.curvatures.any()
    assert state.gamma == 1


def test_torch_takes_the_same_steps():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(3).normal(size=12)
    parameter = torch.nn.Parameter(torch.tensor(x))
    weights = torch.linspace(0.3, 1.3, 12, dtype=torch.float64)
    solver = torch.optim.LBFGS([parameter], max_iter=1, history_size=100)

    def closure():
        solver.zero_grad()
        value = (weights * (parameter**2 + (parameter - 1) ** 4 / 20)).sum()
        value.backward()
        return value

    found, _ = follow(UnguardedLBFGS(), bowl_gradient, x, count=8)
    for point in found[1:]:
        solver.step(closure)
        np.testing.assert_allclose(point, parameter.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("gradient_tolerance", "change_tolerance", "ends"),
    [
        (1.1e-2, 0.0, True),
        (0.9e-2, 0.0, False),
        # The slope is 1e-4 + 0.25e-4.
        (0.0, 1.3e-4, True),
        (0.0, 1.2e-4, False),
    ],
)
def test_a_start_ends_by_its_gradient_or_its_slope(gradient_tolerance, change_tolerance, ends):
    recipe = UnguardedLBFGS(
        gradient_tolerance=gradient_tolerance, change_tolerance=change_tolerance
    )
    solver, at = unguarded_lbfgs(recipe), jnp.zeros(2)
    gradient = jnp.array([0.5e-2, -1e-2])
    _, state = solver.update(gradient, solver.init(at), at, value=jnp.float32(1.0))
    assert bool(state.ended) == ends


@pytest.mark.parametrize(("fall", "ends"), [(1.0, False), (1e-3, True), (-1e-3, True)])
def test_a_step_that_hardly_changes_the_objective_is_the_last(fall, ends):
    solver, at = unguarded_lbfgs(UnguardedLBFGS(change_tolerance=0.01)), jnp.zeros(2)
    step, state = solver.update(jnp.ones(2), solver.init(at), at, value=jnp.float32(3.0))
    assert not state.ended
    _, state = solver.update(jnp.ones(2) / 2, state, step, value=jnp.float32(3.0 - fall))
    assert bool(state.ended) == ends


def test_problems_under_vmap_are_solved_as_one_by_one():
    starts = jnp.asarray(np.random.default_rng(0).normal(size=(3, 12)), jnp.float32)
    solver = unguarded_lbfgs(CHAINER)
    weights = jnp.linspace(0.3, 1.3, 12)

    def step(at, state):
        gradient = weights * (2 * at + (at - 1) ** 3 / 5)
        update, state = solver.update(gradient, state, at, value=jnp.sum(at))
        return at + update, state

    batch, state = starts, jax.vmap(solver.init)(starts)
    for _ in range(7):
        batch, state = jax.vmap(step)(batch, state)
    for start, found in zip(starts, batch, strict=True):
        expected, _ = reference(bowl_gradient, np.asarray(start, float), count=7, first="gradient")
        np.testing.assert_allclose(found, expected[-1], atol=1e-5)


@pytest.fixture(scope="module")
def make(random_vgg, waves):
    """A function that makes the recipe, the network and the problems of a solver and its units."""

    def make(solver, preprocess, count=2, alpha=30.0):
        recipe = small_recipe(
            objective__loss="sum_squares", objective__bounds="none", vector="unit"
        ).replace(solver=solver)
        vgg = random_vgg.replace(preprocess=preprocess)
        vector = make_vector(vgg, recipe).features
        alphas = np.full(count, alpha)
        return recipe, vgg, make_problem(vgg, waves[:count], vector, alphas, recipe=recipe)

    return make


def test_chainer_s_steps_on_a_network_are_in_grey_levels_from_the_start_on(make):
    pytest.importorskip("torch")
    from engine.torch_objective import TorchObjective

    solver = CHAINER.replace(iterations=6)
    recipe, vgg, problem = make(solver, CAFFE, count=1, alpha=3000.0)
    mine = TorchObjective(vgg, problem)
    found = reconstruct(vgg, problem, recipe=recipe)

    def gradient(u):
        return mine.value_and_gradient(u)[1].ravel()

    expected, _ = reference(gradient, mine.start.ravel(), count=6, first="gradient")
    np.testing.assert_allclose(found.images[0], mine.image(expected[-1]), atol=1e-5)
    assert np.abs(found.images[0] - problem.start[0]).max() > 1e-2


def test_torch_s_steps_on_a_network_are_in_standard_deviations(make, random_vgg):
    torch = pytest.importorskip("torch")
    from engine.torch_objective import TorchObjective

    solver = UnguardedLBFGS(iterations=8)
    recipe, vgg, problem = make(solver, random_vgg.preprocess, count=1)
    mine = TorchObjective(vgg, problem)
    parameter = torch.nn.Parameter(torch.tensor(mine.start))
    theirs, values = torch.optim.LBFGS([parameter], max_iter=8, history_size=100), []

    def closure():
        theirs.zero_grad()
        value = mine.measure(parameter)
        value.backward()
        values.append(value.item())
        return value

    theirs.step(closure)
    found = reconstruct(vgg, problem, recipe=recipe)
    np.testing.assert_allclose(found.images[0], mine.image(parameter.detach()), atol=1e-5)
    # They don't evaluate the last image, whose objective is reported here.
    np.testing.assert_allclose(found.history[0, :8], values, rtol=1e-4)
    assert (found.iterations.tolist(), found.evaluations.tolist()) == ([8], [9])


def test_the_last_image_is_returned_with_its_objective_even_if_it_is_worse(make, random_vgg):
    # Long steps overshoot.
    solver = UnguardedLBFGS(iterations=7, relaxation=2.5)
    recipe, vgg, problem = make(solver, random_vgg.preprocess)
    found = reconstruct(vgg, problem, recipe=recipe)
    assert found.history.shape == (2, 8)
    assert (found.history[:, -1] > found.history.min(axis=1)).any()
    np.testing.assert_array_equal(found.history[:, -1], found.objective)
    at = objective(vgg, jnp.asarray(found.images), problem, recipe=recipe)
    np.testing.assert_allclose(found.objective, at, rtol=1e-4)
    traced = jax.jit(lambda problem: reconstruct(vgg, problem, recipe=recipe))(problem)
    np.testing.assert_allclose(traced.images, found.images, atol=1e-3)
    np.testing.assert_array_equal(traced.iterations, [7, 7])
    np.testing.assert_array_equal(traced.evaluations, [8, 8])


def test_reports_come_after_every_few_steps_and_show_the_images_of_shorter_runs(make, random_vgg):
    recipe, vgg, problem = make(UnguardedLBFGS(iterations=9), random_vgg.preprocess, count=1)
    seen = []
    reconstruct(vgg, problem, recipe=recipe, every=4, on_progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(1, 10), (5, 10), (9, 10), (10, 10)]
    for progress, steps in ((seen[1], 4), (seen[2], 8)):
        short = recipe.replace(solver=recipe.solver.replace(iterations=steps))
        expected = reconstruct(vgg, problem, recipe=short).images
        np.testing.assert_allclose(progress.in_flight.images, expected, atol=1e-6)


def test_a_problem_that_ends_by_its_tolerance_keeps_the_image_of_that_step(make, random_vgg):
    recipe, vgg, problem = make(UnguardedLBFGS(), random_vgg.preprocess)
    in_pixels = jax.grad(lambda z: objective(vgg, z, problem, recipe=recipe).sum())(problem.start)
    start = np.abs(np.asarray(in_pixels) * np.array(vgg.preprocess.unit_rgb)).max()
    solver = UnguardedLBFGS(iterations=20, gradient_tolerance=0.7 * float(start))
    found = reconstruct(vgg, problem, recipe=recipe.replace(solver=solver), batch_size=2)
    for i, steps in enumerate(found.iterations.tolist()):
        assert 1 < steps < 20
        exact = recipe.replace(solver=UnguardedLBFGS(iterations=steps))
        expected = reconstruct(vgg, problem, recipe=exact)
        np.testing.assert_allclose(found.images[i], expected.images[i], atol=1e-5)
        np.testing.assert_array_equal(found.history[i, steps:], found.objective[i])


def test_a_problem_that_diverges_ends_at_its_last_finite_objective(make, random_vgg):
    # The second step goes where squares overflow.
    solver = UnguardedLBFGS(iterations=20, relaxation=1e12)
    recipe, vgg, problem = make(solver, random_vgg.preprocess)
    found = reconstruct(vgg, problem, recipe=recipe)
    assert np.all(found.iterations < 20)
    assert np.isfinite(found.images).all()
    at = objective(vgg, jnp.asarray(found.images), problem, recipe=recipe)
    np.testing.assert_allclose(found.objective, at, rtol=1e-3)
    assert np.isfinite(found.history).all()
