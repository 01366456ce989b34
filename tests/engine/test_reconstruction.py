from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import LAYERS, singles, steady_recipe

from dfi_jax import InputError, Problem, features, make_problem, objective, prepare, reconstruct
from dfi_jax.engine import descent, devices, reconstruction
from dfi_jax.engine.problem import problem_bytes
from dfi_jax.engine.reconstruction import largest_batch, prepare_for
from dfi_jax.recipe.features import square_norms

RECIPE = steady_recipe()

HALF_A_LEVEL = 0.5 / 255
"""How far two runs may be apart. L-BFGS enlarges the rounding of float32, which depends on the size
of the batch: by up to 0.0016 with jax 0.8.0, and by less than 0.001 with jax 0.10.2."""


@pytest.fixture(scope="module")
def direct(random_vgg):
    """The network with direct convolutions, because Winograd's take long to compile."""
    return prepare(random_vgg, layers=LAYERS, winograd=False)


@pytest.fixture(scope="module")
def vector(random_vgg, waves):
    phi = features(random_vgg, waves, layers=LAYERS)
    return {name: layer[1] - layer[2] for name, layer in phi.items()}


def targets(vgg, starts, wanted):
    """Problems whose solution is known: the features wanted are those of an image."""
    phi = features(vgg, wanted, layers=LAYERS)
    return Problem(starts, phi, square_norms(phi, scope="layer"))


def test_an_image_is_found_again_by_its_features(direct, waves):
    problem = targets(direct, jnp.full_like(waves, 0.5), waves)
    recipe = steady_recipe(iterations=99)
    result = reconstruct(direct, problem, recipe=recipe, batch_size=3)
    assert np.abs(result.images - np.asarray(waves)).max() < 0.02
    assert np.all(result.objective < 1e-3 * result.history[:, 0])


@pytest.mark.parametrize("recipe", [RECIPE, steady_recipe(solver="adam")], ids=["lbfgs", "adam"])
def test_a_batch_gives_the_images_of_single_runs(random_vgg, waves, vector, recipe):
    alphas = jnp.array([0.1, 0.3, -0.2])
    problem = make_problem(random_vgg, waves, vector, alphas, recipe=recipe)
    batch = reconstruct(random_vgg, problem, recipe=recipe, batch_size=3)
    for i, single in enumerate(singles(problem)):
        alone = reconstruct(random_vgg, single, recipe=recipe)
        np.testing.assert_allclose(batch.images[i], alone.images[0], atol=HALF_A_LEVEL)
        np.testing.assert_allclose(batch.objective[i], alone.objective[0], rtol=1e-3)


@pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="jax 0.8.0 waits for ever")
def test_a_problem_that_does_not_fit_into_memory_is_an_error(random_vgg, waves, vector):
    recipe = steady_recipe(solver__memory=10**9)
    problem = make_problem(random_vgg, waves[:1], vector, jnp.ones(1), recipe=recipe)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        reconstruct(random_vgg, problem, recipe=recipe)


def test_the_history_never_rises_and_ends_at_the_objective(random_vgg, waves, vector):
    problem = make_problem(random_vgg, waves, vector, jnp.full(3, 0.3), recipe=RECIPE)
    result = reconstruct(random_vgg, problem, recipe=RECIPE, batch_size=3)
    assert result.history.shape == (3, RECIPE.solver.iterations)
    assert np.all(np.diff(result.history) <= 0)
    np.testing.assert_array_equal(result.history[:, -1], result.objective)
    np.testing.assert_array_equal(result.iterations, RECIPE.solver.iterations)


@pytest.mark.parametrize("bounds", ["valid", "linear", "none"])
def test_the_reported_objective_is_that_of_the_returned_image(random_vgg, waves, vector, bounds):
    # A dark image and a large strength make many pixels leave [0, 1] on the way.
    weight = {"objective__bounds__weight": 1e-3} if bounds == "linear" else {}
    recipe = steady_recipe(objective__bounds=bounds, **weight)
    dark = waves - 0.35
    problem = make_problem(random_vgg, dark, vector, jnp.full(3, 2.0), recipe=recipe)
    result = reconstruct(random_vgg, problem, recipe=recipe, batch_size=3)
    expected = objective(random_vgg, jnp.asarray(result.images), problem, recipe=recipe)
    np.testing.assert_allclose(result.objective, expected, rtol=1e-5)
    outside = np.mean((result.images < 0) | (result.images > 1))
    assert outside == 0 if bounds == "valid" else outside > 0.01


def test_strength_0_from_the_image_gives_the_image_back(random_vgg, waves, vector):
    problem = make_problem(random_vgg, waves, vector, jnp.zeros(3), recipe=RECIPE)
    result = reconstruct(random_vgg, problem, recipe=RECIPE, batch_size=3)
    np.testing.assert_allclose(result.images, waves, atol=1e-6)
    np.testing.assert_allclose(result.objective, 0, atol=1e-9)


def test_a_problem_that_ends_stops_alone(direct, waves):
    recipe = steady_recipe(iterations=60, solver__tolerance=0.3)
    starts = jnp.stack([waves[0], jnp.full_like(waves[1], 0.5)])
    problem = targets(direct, starts, waves[:2])
    result = reconstruct(direct, problem, recipe=recipe, batch_size=2)
    assert result.iterations[0] == 20  # It starts at its solution, which ten more don't improve.
    alone = reconstruct(direct, singles(problem)[1], recipe=recipe)
    assert result.iterations[1] == alone.iterations[0] > 20
    np.testing.assert_allclose(result.images[1], alone.images[0], atol=HALF_A_LEVEL)
    np.testing.assert_array_equal(result.history[0, 20:], result.objective[0])
    traced = jax.jit(lambda problem: reconstruct(direct, problem, recipe=recipe))(problem)
    assert traced.iterations[0] == 20
    np.testing.assert_array_equal(traced.history[0, 20:], traced.objective[0])


def test_a_bound_on_pixels_costs_something(random_vgg, waves, vector):
    found = {}
    for bounds in ("valid", "none"):
        recipe = steady_recipe(objective__bounds=bounds)
        problem = make_problem(random_vgg, waves, vector, jnp.full(3, 3.0), recipe=recipe)
        found[bounds] = reconstruct(random_vgg, problem, recipe=recipe, batch_size=3)
    assert found["valid"].images.min() >= 0
    assert found["valid"].images.max() <= 1
    assert np.all(found["valid"].objective > found["none"].objective)


def test_l2_features_are_moved_on_their_sphere(random_vgg, waves, vector):
    recipe = steady_recipe(
        features__normalization="l2",
        features__normalization__scope="concat",
        vector="unit",
        vector__scope="concat",
        objective__loss="sum_squares",
    )
    problem = make_problem(random_vgg, waves, vector, jnp.zeros(3), recipe=recipe)
    square = sum(jnp.sum(layer**2, axis=(1, 2, 3)) for layer in problem.target.values())
    np.testing.assert_allclose(square, 1, rtol=1e-5)
    problem = make_problem(random_vgg, waves, vector, jnp.full(3, 0.4), recipe=recipe)
    result = reconstruct(random_vgg, problem, recipe=recipe)
    # The first evaluation is at the photo, ‖αw/‖w‖‖²/2 away from the target.
    np.testing.assert_allclose(result.history[:, 0], 0.4**2 / 2, rtol=1e-4)
    assert np.all(result.objective < 0.9 * result.history[:, 0])


def test_raw_weights_are_rejected_if_the_recipe_asks_for_normalized_ones(random_vgg, waves, vector):
    problem = make_problem(random_vgg, waves, vector, jnp.zeros(3), recipe=RECIPE)
    normalized = steady_recipe(features__network="normalized")
    for problems in (problem, singles(problem)):
        with pytest.raises(InputError, match="asks for normalized weights, but random"):
            reconstruct(random_vgg, problems, recipe=normalized)


def test_a_queue_flows_through_a_smaller_batch_and_each_is_as_alone(random_vgg, waves, vector):
    recipe = steady_recipe(iterations=7)
    alphas = jnp.array([0.1, 0.3, -0.2, 0.2, 0.4])
    images = waves[jnp.array([0, 1, 2, 0, 1])]
    problem = make_problem(random_vgg, images, vector, alphas, recipe=recipe)
    taken, seen, found = [], [], {}

    def queue():
        for i, single in enumerate(singles(problem)):
            taken.append(i)
            yield single

    results = reconstruct(
        random_vgg,
        queue(),
        recipe=recipe,
        batch_size=2,
        on_progress=lambda progress: seen.append(progress.in_flight),
    )
    for i, result in results:
        found[i] = result
        # The batch is taken, as many problems to follow it, and the last problem to end.
        assert len(taken) <= len(found) + 5
    assert sorted(found) == list(range(5))
    for i, single in enumerate(singles(problem)):
        alone = reconstruct(random_vgg, single, recipe=recipe)
        np.testing.assert_allclose(found[i].images, alone.images, atol=HALF_A_LEVEL)
        np.testing.assert_allclose(found[i].history, alone.history, rtol=1e-3, atol=1e-9)
    assert [now.indices for now in seen if 7 in now.iterations] == [[0, 1], [2, 3], [4]]


def test_a_problem_that_ends_early_leaves_its_slot_to_the_next(direct, waves):
    recipe = steady_recipe(iterations=60, solver__tolerance=0.3)
    starts = jnp.stack([waves[0], jnp.full_like(waves[1], 0.5), waves[2]])
    problem = targets(direct, starts, waves)
    seen = []
    results = reconstruct(
        direct,
        singles(problem),
        recipe=recipe,
        batch_size=2,
        on_progress=lambda progress: seen.append(progress.in_flight),
    )
    found = dict(results)
    assert found[0].iterations[0] == found[2].iterations[0] == 20
    assert any(sorted(now.indices) == [1, 2] for now in seen)
    alone = reconstruct(direct, singles(problem)[1], recipe=recipe)
    assert found[1].iterations[0] == alone.iterations[0]
    np.testing.assert_allclose(found[1].images, alone.images, atol=HALF_A_LEVEL)


def test_free_slots_of_a_single_device_are_given_up_down_to_a_power_of_two(
    direct, waves, monkeypatch
):
    recipe = steady_recipe(layers=("conv1_1",), iterations=25, solver__tolerance=0.01)
    phi = features(direct, waves, layers=("conv1_1",))
    far = jnp.full_like(waves, 0.5)
    # Five problems start at their solutions, and end after 20 evaluations.
    starts = jnp.concatenate([waves[:2], far, waves])
    wanted = {name: jnp.concatenate([layer[:2], layer, layer]) for name, layer in phi.items()}
    problem = Problem(starts, wanted, square_norms(wanted, scope="layer"))
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    kept, keep = [], descent.keep

    def count(problem, state, slots):
        kept.append(len(slots))
        return keep(problem, state, slots)

    monkeypatch.setattr(descent, "keep", count)
    found = reconstruct(direct, problem, recipe=recipe, batch_size=8)
    assert kept == [4]
    assert found.iterations.tolist() == [20, 20, 25, 25, 25, 20, 20, 20]
    measured = objective(direct, jnp.asarray(found.images), problem, recipe=recipe)
    np.testing.assert_allclose(found.objective, measured, rtol=1e-3, atol=1e-9)


def test_a_queue_one_at_a_time_leaves_its_problems_as_they_were(random_vgg, waves, vector):
    recipe = steady_recipe(iterations=7)
    problem = make_problem(random_vgg, waves[:2], vector, jnp.full(2, 0.3), recipe=recipe)
    problems = singles(problem)
    before = jax.tree.map(np.array, problems)
    assert len(list(reconstruct(random_vgg, problems, recipe=recipe, batch_size=1))) == 2
    jax.tree.map(np.testing.assert_array_equal, problems, before)


def test_a_queue_one_at_a_time_equals_single_runs_to_the_bit(random_vgg, waves, vector):
    recipe = steady_recipe(iterations=7, solver__memory=4)
    alphas = jnp.array([0.3, -0.2, 0.4])
    problem = make_problem(random_vgg, waves, vector, alphas, recipe=recipe)
    found = dict(reconstruct(random_vgg, singles(problem), recipe=recipe, batch_size=1))
    for i, single in enumerate(singles(problem)):
        alone = reconstruct(random_vgg, single, recipe=recipe)
        np.testing.assert_array_equal(found[i].images, alone.images)


def test_the_next_problem_is_taken_while_the_devices_work_on_the_last(random_vgg, waves, vector):
    recipe = steady_recipe(iterations=7)
    problem = make_problem(random_vgg, waves, vector, jnp.full(3, 0.3), recipe=recipe)
    taken, seen = [], []

    def queue():
        for i, single in enumerate(singles(problem)):
            taken.append(i)
            yield single

    def watch(progress):
        seen.append((progress.in_flight.indices[0], taken[-1]))

    list(reconstruct(random_vgg, queue(), recipe=recipe, batch_size=1, every=7, on_progress=watch))
    assert sorted(set(seen)) == [(0, 1), (1, 2), (2, 2)]


def test_an_empty_queue_gives_nothing(random_vgg):
    assert list(reconstruct(random_vgg, [], recipe=RECIPE)) == []


@pytest.mark.parametrize("kind", ["lbfgs", "lbfgsb"])
def test_an_empty_batch_gives_an_empty_reconstruction(direct, waves, vector, kind):
    recipe = steady_recipe(solver=kind)
    none = make_problem(direct, waves[:1], vector, [], recipe=recipe)
    found = reconstruct(direct, none, recipe=recipe)
    assert found.images.shape == (0, 16, 16, 3)
    assert {len(leaf) for leaf in found} == {0}


def test_problems_on_another_device_are_solved_in_a_queue(direct, waves, vector):
    problem = make_problem(direct, waves[:1], vector, [0.1], recipe=RECIPE)
    there = jax.device_put(problem, jax.devices()[1])
    found = dict(reconstruct(direct, [there, there], recipe=RECIPE, batch_size=1))
    np.testing.assert_array_equal(found[1].images, found[0].images)


def test_what_a_queue_cannot_hold_is_rejected(direct, waves, vector):
    one, two = (make_problem(direct, waves[:n], vector, [0.1] * n, recipe=RECIPE) for n in (1, 2))
    with pytest.raises(InputError, match="problem 1 of the queue holds 2 images; give problems of"):
        list(reconstruct(direct, [one, two], recipe=RECIPE, batch_size=2))
    with pytest.raises(InputError, match="a queue of problems runs outside jit and vmap; inside"):
        jax.eval_shape(lambda p: list(reconstruct(direct, [p], recipe=RECIPE)), one)
    for name in ("every", "batch_size"):
        with pytest.raises(InputError, match=f"{name} is 0; give 1 or more"):
            reconstruct(direct, one, recipe=RECIPE, **{name: 0})


def test_networks_and_recipes_that_compute_the_same_share_their_programs(
    direct, waves, vector, monkeypatch
):
    problem = make_problem(direct, waves[:1], vector, [0.3], recipe=RECIPE)
    expected = reconstruct(direct, problem, recipe=RECIPE)
    changes = {"vector": "gain", "removal": "none", "shrinkage": "unshrunk", "start": "noise"}
    changes |= {"finish": "match_color", "features.network": "raw", "features.size": "64"}
    monkeypatch.setattr(descent, "evaluate", None)  # Tracing would call it.
    found = reconstruct(direct, problem, recipe=RECIPE.set(changes))
    np.testing.assert_array_equal(found.images, expected.images)
    same = direct.replace(name="another file", sha256="0", normalized=True)
    found = reconstruct(same, problem, recipe=RECIPE)
    np.testing.assert_array_equal(found.images, expected.images)


def test_images_are_copied_from_the_devices_only_where_they_are_wanted(
    direct, waves, vector, monkeypatch
):
    problem = make_problem(direct, waves[:1], vector, [0.3], recipe=RECIPE)
    copied, device_get = [], jax.device_get

    def watch(tree):
        copied.extend(leaf for leaf in jax.tree.leaves(tree) if leaf.ndim == 4)
        return device_get(tree)

    monkeypatch.setattr(jax, "device_get", watch)
    reconstruct(direct, problem, recipe=RECIPE)
    assert len(copied) == 1
    reports = []
    reconstruct(direct, problem, recipe=RECIPE, on_progress=reports.append)
    assert len(copied) == 1 + len(reports) + 1


def test_a_network_can_be_traced_without_its_problem(direct, waves, vector):
    problem = make_problem(direct, waves, vector, jnp.full(3, 0.3), recipe=RECIPE)
    traced = jax.eval_shape(lambda vgg: reconstruct(vgg, problem, recipe=RECIPE), direct)
    assert traced.images.shape == waves.shape


@pytest.mark.parametrize(
    ("kind", "loss", "dtype"),
    [
        ("lbfgs", "relative", "float32"),
        ("unguarded_lbfgs", "sum_squares", "float32"),
        ("adam", "mean_squares", "float32"),
        ("lbfgs", "relative", "float64"),
    ],
)
def test_everything_has_the_network_s_type_in_a_process_that_uses_float64(
    direct, waves, vector, kind, loss, dtype
):
    recipe = steady_recipe(solver=kind, objective__loss=loss, vector__scope="concat", start="noise")
    wide = {name: np.asarray(layer, np.float64) for name, layer in vector.items()}
    with jax.enable_x64(True):
        vgg = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), direct)
        found = jax.eval_shape(
            lambda x, w: reconstruct(
                vgg, make_problem(vgg, x, w, [0.3], recipe=recipe), recipe=recipe
            ),
            *(np.asarray(waves[:1], np.float64), wide),
        )
    assert {leaf.dtype for leaf in found} == {jnp.dtype(dtype), jnp.dtype("int32")}


def test_a_batch_larger_than_its_slots_is_as_the_whole(random_vgg, waves, vector):
    problem = make_problem(random_vgg, waves, vector, jnp.full(3, 0.3), recipe=RECIPE)
    seen = []
    found = reconstruct(random_vgg, problem, recipe=RECIPE, batch_size=2, on_progress=seen.append)
    whole = reconstruct(random_vgg, problem, recipe=RECIPE, batch_size=3)
    np.testing.assert_allclose(found.images, whole.images, atol=HALF_A_LEVEL)
    np.testing.assert_allclose(found.history, whole.history, rtol=1e-3)
    assert (seen[-1].done, seen[-1].total) == (75, 75)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    np.testing.assert_array_equal(seen[-1].in_flight.images[0], found.images[2])


def test_of_each_problem_the_first_evaluation_every_fifth_and_the_last_are_reported(
    random_vgg, waves, vector, monkeypatch
):
    recipe = steady_recipe(iterations=12)
    made, advance = [], descent.advance

    def count(vgg, problem, state, steps, **options):
        made.append(steps)
        return advance(vgg, problem, state, steps, **options)

    monkeypatch.setattr(descent, "advance", count)
    problem = make_problem(random_vgg, waves[:2], vector, jnp.full(2, 0.3), recipe=recipe)
    seen = []
    reconstruct(random_vgg, problem, recipe=recipe, batch_size=1, on_progress=seen.append)
    assert [(p.phase, p.done, p.total, p.unit) for p in seen] == [
        ("reconstruction", done, 24, "evaluations") for done in (1, 5, 10, 12, 13, 17, 22, 24)
    ]
    assert made == [1, 4, 5, 2, 1, 4, 5, 2]


def test_iterations_in_one_compiled_loop_are_those_of_python(
    random_vgg, waves, vector, monkeypatch
):
    problem = make_problem(random_vgg, waves, vector, jnp.full(3, 0.3), recipe=RECIPE)
    expected = reconstruct(random_vgg, problem, recipe=RECIPE, batch_size=3)
    inside = jax.jit(lambda problem: reconstruct(random_vgg, problem, recipe=RECIPE))(problem)
    np.testing.assert_allclose(inside.images, expected.images, atol=HALF_A_LEVEL)
    np.testing.assert_allclose(inside.objective, expected.objective, rtol=1e-3)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = reconstruct(random_vgg, problem, recipe=RECIPE, batch_size=3)
    np.testing.assert_allclose(found.images, expected.images, atol=HALF_A_LEVEL)


def test_a_batch_under_vmap_is_as_alone(random_vgg, waves, vector):
    recipe = steady_recipe(iterations=5)

    def edit(alpha):
        problem = make_problem(random_vgg, waves[:1], vector, alpha[None], recipe=recipe)
        return reconstruct(random_vgg, problem, recipe=recipe).images[0]

    alphas = jnp.array([0.1, 0.4])
    together = jax.vmap(edit)(alphas)
    for alpha, image in zip(alphas, together, strict=True):
        np.testing.assert_allclose(edit(alpha), image, atol=HALF_A_LEVEL)


def test_a_batch_can_be_traced_inside_shard_map(direct, waves, vector):
    problem = make_problem(direct, waves[:2], vector, [0.1, 0.4], recipe=RECIPE)
    everywhere = devices.map_over_devices(
        partial(reconstruct, recipe=RECIPE), devices.make_mesh(2), replicated=[True, False]
    )
    found = jax.eval_shape(everywhere, direct, problem)
    assert found.images.shape == (2, 16, 16, 3)


def test_accelerators_multiply_in_float32(direct, waves, vector):
    problem = make_problem(direct, waves[:1], vector, [0.3], recipe=RECIPE)
    run = jax.jit(partial(reconstruct, recipe=RECIPE))
    program = jax.export.export(run, platforms=["cuda", "tpu"])(direct, problem).mlir_module()
    products = [
        line
        for line in program.splitlines()
        if "stablehlo.dot_general" in line or "stablehlo.convolution" in line
    ]
    # The convolutions and their gradients, and the products of L-BFGS.
    assert len(products) > 2 * len(LAYERS)
    assert all("HIGHEST" in line for line in products)


def test_a_batch_fits_the_memory_that_is_free(random_vgg, monkeypatch):
    each = problem_bytes("vgg16", recipe=RECIPE)
    # Some systems don't tell how much memory is free, so nobody asks for that of a CPU.
    cases = {"gpu": ((0, 1), (2 * 5 * each, 5), (10**15, 64)), "cpu": ((None, 1),)}
    for platform, sizes in cases.items():
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        for free, expected in sizes:
            monkeypatch.setattr("dfi_jax.engine.devices.free_memory", lambda free=free: free)
            found = largest_batch(random_vgg, recipe=RECIPE)
            assert found == expected * jax.local_device_count()


def test_convolutions_are_chosen_by_the_recipe_alone(random_vgg, monkeypatch):
    wide = ("conv1_1", "conv1_2")
    few, many = (steady_recipe(layers=wide, iterations=n) for n in (29, 30))
    assert prepare_for(random_vgg, recipe=few).convolution == "direct"
    assert prepare_for(random_vgg, recipe=many).convolution == "winograd"
    prepared = prepare(random_vgg, layers=wide)
    assert prepare_for(prepared, recipe=few) is prepared
    other = prepared.replace(precision="tf32")  # Its filters can't be used any more.
    assert prepare_for(other, recipe=many).convolution == "winograd"
    decided = prepare_for(random_vgg, recipe=few)
    assert prepare_for(decided, recipe=many) is decided  # The first decision stands.
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert prepare_for(random_vgg, recipe=many).convolution == "direct"


def test_a_problem_never_changes_its_convolutions(random_vgg, waves, vector, monkeypatch):
    """However much is queued, and in the middle of a problem too."""
    recipe = steady_recipe(iterations=7)
    problem = make_problem(random_vgg, waves, vector, jnp.full(3, 0.3), recipe=recipe)
    made = []

    def prepare_once(network, *, layers, winograd):
        made.append(winograd)
        return prepare(network, layers=layers, winograd=winograd)

    monkeypatch.setattr(reconstruction, "prepare", prepare_once)
    many = singles(problem) * 15  # They take 315 evaluations in all.
    found = dict(reconstruct(random_vgg, many, recipe=recipe, batch_size=1))
    assert made == [False]
    for i in range(3, 45):
        np.testing.assert_array_equal(found[i].images, found[i % 3].images)
