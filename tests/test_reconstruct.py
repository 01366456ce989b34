import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfi_jax.errors import InputError
from dfi_jax.features import square_norms
from dfi_jax.problem import Problem, make_problem, problem_bytes
from dfi_jax.recipe import Recipe
from dfi_jax.reconstruct import largest_batch, reconstruct, stream, sweep
from dfi_jax.vgg import features
from dfi_jax.weights import load_vgg

LAYERS = ("conv1_2", "conv2_1")
RECIPE = Recipe(layers=LAYERS, size=16, iterations=25)


@pytest.fixture(scope="module")
def vgg():
    return load_vgg("random-vgg16")


@pytest.fixture(scope="module")
def images():
    """Smooth pictures: a few waves each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16] / 16
    waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.random((9, 3)) * 2]
    return jnp.asarray(0.5 + 0.2 * np.reshape(waves, (3, 3, 16, 16)).transpose(0, 2, 3, 1), jnp.float32)


@pytest.fixture(scope="module")
def vector(vgg, images):
    phi = features(vgg, images, layers=LAYERS)
    return {name: layer[1] - layer[2] for name, layer in phi.items()}


def targets(vgg, starts, wanted):
    """Problems whose solution is known: the features wanted are those of an image."""
    phi = features(vgg, wanted, layers=LAYERS)
    return Problem(starts, phi, square_norms(phi, scope="layer"))


def test_an_image_is_found_again_by_its_features(vgg, images):
    problem = targets(vgg, jnp.full_like(images, 0.5), images)
    result = reconstruct(vgg, problem, recipe=RECIPE.replace(iterations=120), batch_size=3)
    assert np.abs(result.images - np.asarray(images)).max() < 0.02
    assert np.all(result.objective < 1e-3 * result.history[:, 0])


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_batch_gives_the_images_of_one_by_one_runs(vgg, images, vector, solver):
    recipe = RECIPE.replace(solver=solver)
    alphas = jnp.array([0.1, 0.3, -0.2])
    batch = reconstruct(vgg, make_problem(vgg, images, vector, alphas, recipe=recipe), recipe=recipe, batch_size=3)
    for i in range(3):
        one = slice(i, i + 1)
        single = reconstruct(vgg, make_problem(vgg, images[one], vector, alphas[one], recipe=recipe), recipe=recipe)
        np.testing.assert_allclose(batch.images[i], single.images[0], atol=1e-3)
        np.testing.assert_allclose(batch.objective[i], single.objective[0], rtol=1e-3)


def test_the_history_never_rises_and_ends_at_the_objective(vgg, images, vector):
    problem = make_problem(vgg, images, vector, jnp.full(3, 0.3), recipe=RECIPE)
    result = reconstruct(vgg, problem, recipe=RECIPE, batch_size=3)
    assert result.history.shape == (3, RECIPE.iterations)
    assert np.all(np.diff(result.history) <= 0)
    np.testing.assert_array_equal(result.history[:, -1], result.objective)
    np.testing.assert_array_equal(result.iterations, RECIPE.iterations)


def test_strength_0_from_the_image_gives_the_image_back(vgg, images, vector):
    result = reconstruct(vgg, make_problem(vgg, images, vector, jnp.zeros(3), recipe=RECIPE), recipe=RECIPE)
    np.testing.assert_allclose(result.images, images, atol=1e-6)
    np.testing.assert_allclose(result.objective, 0, atol=1e-9)


def test_a_problem_that_is_done_stops_alone(vgg, images):
    recipe = RECIPE.replace(iterations=60, tolerance=0.3)
    starts = jnp.stack([images[0], jnp.full_like(images[1], 0.5)])
    result = reconstruct(vgg, targets(vgg, starts, images[:2]), recipe=recipe, batch_size=2)
    assert result.iterations[0] == 20  # it begins at its solution, and ten iterations don't better it
    alone = reconstruct(vgg, targets(vgg, starts[1:], images[1:2]), recipe=recipe)
    assert result.iterations[1] == alone.iterations[0] > 20
    np.testing.assert_allclose(result.images[1], alone.images[0], atol=1e-3)


def test_pixels_stay_in_bounds_where_the_recipe_says_so(vgg, images, vector):
    strong = jnp.full(3, 3.0)
    inside, outside = [], []
    for bounds, seen in (("valid", inside), ("none", outside)):
        recipe = RECIPE.replace(bounds=bounds)
        problem = make_problem(vgg, images, vector, strong, recipe=recipe)
        result = reconstruct(vgg, problem, recipe=recipe, on_progress=lambda p, s=seen: s.append(p.objective))
        assert result.images.min() >= 0
        assert result.images.max() <= 1
    assert np.all(inside[-1] > outside[-1])  # a bound costs


def test_a_sweep_is_a_batch_of_its_strengths(vgg, images, vector):
    alphas = [0.1, 0.4]
    result = sweep(vgg, images[0], vector, alphas, recipe=RECIPE)
    problem = make_problem(vgg, images[:1], vector, jnp.array([0.4]), recipe=RECIPE)
    np.testing.assert_allclose(result.images[1], reconstruct(vgg, problem, recipe=RECIPE).images[0], atol=1e-3)


def test_a_sweep_from_the_previous_strength_starts_where_that_ended(vgg, images, vector):
    recipe = RECIPE.replace(init="previous", iterations=5)
    seen = []
    result = sweep(vgg, images[0], vector, [0.1, 0.4], recipe=recipe, on_progress=seen.append)
    first = make_problem(vgg, images[:1], vector, jnp.array([0.1]), recipe=recipe)
    middle = reconstruct(vgg, first, recipe=recipe).images
    second = make_problem(vgg, images[:1], vector, jnp.array([0.4]), recipe=recipe, start=jnp.asarray(middle))
    np.testing.assert_allclose(result.images[1], reconstruct(vgg, second, recipe=recipe).images[0], atol=1e-3)
    assert [(p.iteration, p.total) for p in seen] == [(1, 10), (5, 10), (6, 10), (10, 10)]


def test_l2_features_are_moved_on_their_sphere(vgg, images, vector):
    recipe = RECIPE.replace(feature_norm="l2", norm_scope="concat", vector_norm="unit", loss="sum_squares")
    problem = make_problem(vgg, images, vector, jnp.zeros(3), recipe=recipe)
    square = sum(jnp.sum(layer**2, axis=(1, 2, 3)) for layer in problem.target.values())
    np.testing.assert_allclose(square, 1, rtol=1e-5)
    result = reconstruct(vgg, make_problem(vgg, images, vector, jnp.full(3, 0.4), recipe=recipe), recipe=recipe)
    assert np.all(result.objective < 0.9 * result.history[:, 0])


def test_raw_weights_are_refused_where_the_recipe_asks_for_normalized_ones(vgg, images, vector):
    recipe = RECIPE.replace(network="normalized")
    problem = make_problem(vgg, images, vector, jnp.zeros(3), recipe=RECIPE)
    with pytest.raises(InputError, match="asks for normalized weights and random-vgg16's are raw"):
        reconstruct(vgg, problem, recipe=recipe)


def singles(problem):
    """The problems of a batch, one by one."""
    return [jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], problem) for i in range(len(problem.start))]


def test_a_queue_streams_through_a_smaller_batch_and_each_is_as_alone(vgg, images, vector):
    recipe = RECIPE.replace(iterations=7)
    alphas = jnp.array([0.1, 0.3, -0.2, 0.2, 0.4])
    problem = make_problem(vgg, images[jnp.array([0, 1, 2, 0, 1])], vector, alphas, recipe=recipe)
    taken, seen = [], []

    def queue():
        for i, single in enumerate(singles(problem)):
            taken.append(i)
            yield single

    found = {}
    for i, result in stream(vgg, queue(), recipe=recipe, batch_size=2, every=5, on_progress=seen.append):
        found[i] = result
        assert len(taken) <= len(found) + 5  # the batch, as many that are to follow, and the one that just ended
    assert sorted(found) == list(range(5))
    for i, single in enumerate(singles(problem)):
        alone = reconstruct(vgg, single, recipe=recipe)
        np.testing.assert_allclose(found[i].images, alone.images, atol=1e-3)
        np.testing.assert_allclose(found[i].history, alone.history, rtol=1e-3, atol=1e-9)
    assert [now.indices for now in seen if 7 in now.iterations] == [[0, 1], [2, 3], [4]]


def test_a_problem_that_stops_early_leaves_its_place_to_the_next(vgg, images):
    recipe = RECIPE.replace(iterations=60, tolerance=0.3)
    starts = jnp.stack([images[0], jnp.full_like(images[1], 0.5), images[2]])
    problem = targets(vgg, starts, images)
    seen = []
    found = dict(stream(vgg, singles(problem), recipe=recipe, batch_size=2, on_progress=seen.append))
    assert found[0].iterations[0] == found[2].iterations[0] == 20
    assert any(sorted(now.indices) == [1, 2] for now in seen)
    alone = reconstruct(vgg, singles(problem)[1], recipe=recipe)
    assert found[1].iterations[0] == alone.iterations[0]
    np.testing.assert_allclose(found[1].images, alone.images, atol=1e-3)


def test_a_queue_one_at_a_time_leaves_its_problems_as_they_were(vgg, images, vector):
    recipe = RECIPE.replace(iterations=3)
    alphas = jnp.full(1, 0.3)
    problems = [make_problem(vgg, images[i : i + 1], vector, alphas, recipe=recipe) for i in range(2)]
    before = jax.tree.map(np.array, problems)
    assert len(list(stream(vgg, problems, recipe=recipe, batch_size=1))) == 2
    jax.tree.map(np.testing.assert_array_equal, problems, before)


def test_a_queue_one_at_a_time_gives_the_images_of_single_runs_to_the_bit(vgg, images, vector):
    recipe = RECIPE.replace(iterations=7, memory=4)  # the second problem isn't begun at the ring's first place
    problem = make_problem(vgg, images, vector, jnp.array([0.3, -0.2, 0.4]), recipe=recipe)
    found = dict(stream(vgg, singles(problem), recipe=recipe, batch_size=1))
    for i, single in enumerate(singles(problem)):
        np.testing.assert_array_equal(found[i].images, reconstruct(vgg, single, recipe=recipe).images)


def test_the_next_problem_is_taken_while_the_devices_are_at_work_on_the_last(vgg, images, vector):
    recipe = RECIPE.replace(iterations=7)
    problem = make_problem(vgg, images, vector, jnp.full(3, 0.3), recipe=recipe)
    taken, seen = [], []

    def queue():
        for i, single in enumerate(singles(problem)):
            taken.append(i)
            yield single

    def watch(now):
        seen.append((now.indices[0], taken[-1]))

    list(stream(vgg, queue(), recipe=recipe, batch_size=1, every=7, on_progress=watch))
    assert sorted(set(seen)) == [(0, 1), (1, 2), (2, 2)]


def test_the_network_is_made_ready_once_when_enough_problems_have_come(vgg, images, vector, monkeypatch):
    recipe = RECIPE.replace(iterations=5)
    problem = make_problem(vgg, images, vector, jnp.full(3, 0.3), recipe=recipe)
    seen, made = [], []

    def prepare(network, *, layers):
        made.append(seen[-1].indices)
        return network.replace(filters={})

    module = sys.modules["dfi_jax.reconstruct"]  # the package's attribute of that name is the function
    monkeypatch.setattr(module, "PREPARE_FROM", 10)
    monkeypatch.setattr(module, "prepare", prepare)
    assert len(list(stream(vgg, singles(problem), recipe=recipe, batch_size=1, on_progress=seen.append))) == 3
    assert made == [[0]]  # when the second of five iterations each is about to begin


def test_an_empty_queue_gives_nothing(vgg):
    assert list(stream(vgg, [], recipe=RECIPE)) == []


def test_a_batch_larger_than_its_places_is_as_the_whole(vgg, images, vector):
    problem = make_problem(vgg, images, vector, jnp.full(3, 0.3), recipe=RECIPE)
    seen = []
    found = reconstruct(vgg, problem, recipe=RECIPE, batch_size=2, on_progress=seen.append)
    whole = reconstruct(vgg, problem, recipe=RECIPE, batch_size=3)
    np.testing.assert_allclose(found.images, whole.images, atol=1e-3)
    np.testing.assert_allclose(found.history, whole.history, rtol=1e-3)
    assert seen[-1].iteration == RECIPE.iterations
    np.testing.assert_array_equal(seen[-1].images, found.images)


def test_iterations_in_one_compiled_loop_are_those_of_python(vgg, images, vector, monkeypatch):
    problem = make_problem(vgg, images, vector, jnp.full(3, 0.3), recipe=RECIPE)
    expected = reconstruct(vgg, problem, recipe=RECIPE, batch_size=3)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = reconstruct(vgg, problem, recipe=RECIPE, batch_size=3)
    np.testing.assert_allclose(found.images, expected.images, atol=1e-3)


def test_a_batch_fits_the_memory_that_is_free(monkeypatch):
    each = problem_bytes("vgg16", RECIPE)
    cases = {"gpu": ((0, 1), (2 * 5 * each, 5), (10**15, 64)), "cpu": ((0, 1), (2 * 5 * each, 1), (10**15, 1))}
    for platform, sizes in cases.items():
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        for free, expected in sizes:
            monkeypatch.setattr("dfi_jax.parallel.free_memory", lambda free=free: free)
            assert largest_batch(load_vgg("random-vgg16"), RECIPE) == expected
