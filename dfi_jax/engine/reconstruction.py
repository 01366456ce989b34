"""Reconstruction: the images whose features are nearest to their targets.

A batch is a list of independent problems, and a queue is a batch of any length whose slots are
refilled: a problem that ends makes room for the next one.
"""

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, overload

import jax
import numpy as np

from dfi_jax.engine import descent, devices, lbfgsb
from dfi_jax.engine.problem import Problem, check_network, problem_bytes
from dfi_jax.engine.slots import Reconstruction, Slots
from dfi_jax.errors import InputError
from dfi_jax.network.conv import Filters
from dfi_jax.network.vgg import VGG, prepare
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.recipe import LBFGSB, FeatureStage, Recipe

WINOGRAD_FROM = 30
"""Number of iterations of a problem from which Winograd's convolutions pay on a CPU.

They take 14 seconds longer to compile, and an evaluation takes 0.13 seconds less (VGG-16,
200 × 200, 2 CPU cores, jax 0.10.2). Programs that took long to compile are kept in the cache.
"""

LARGEST_BATCH_ON_CPU, LARGEST_BATCH = 1, 64
"""Largest number of problems per device, on a CPU and on an accelerator.

On a CPU five problems at once take 5.6 times as long as one (4.7 to 5.8; VGG-19, 200 × 200,
2 cores), and one at a time needs a single compiled program, whatever the number of problems.
"""


@overload
def reconstruct(
    vgg: VGG,
    problems: Problem,
    *,
    recipe: Recipe,
    batch_size: int | None = None,
    every: int = 5,
    on_progress: OnProgress | None = None,
) -> Reconstruction: ...


@overload
def reconstruct(
    vgg: VGG,
    problems: Iterable[Problem],
    *,
    recipe: Recipe,
    batch_size: int | None = None,
    every: int = 5,
    on_progress: OnProgress | None = None,
) -> Iterator[tuple[int, Reconstruction]]: ...


def reconstruct(
    vgg: VGG,
    problems: Problem | Iterable[Problem],
    *,
    recipe: Recipe,
    batch_size: int | None = None,
    every: int = 5,
    on_progress: OnProgress | None = None,
) -> Reconstruction | Iterator[tuple[int, Reconstruction]]:
    """Finds z = argmin loss(φ(z), target) + λ·R(z) for every problem.

    A `Problem`, which is a batch of any length, gives a `Reconstruction`. Any other iterable of
    problems, each of length 1, is a queue: the result is an iterator that yields each problem's
    position and reconstruction as soon as it is done. Problems are taken from the queue shortly
    before their slots are free, and results are handed over while the devices work, so that
    reading photos and writing results cost the devices no time.

    The devices of this process share the batch. The images of a problem don't depend on the other
    problems. This holds to the bit if problems are solved one at a time, as on a CPU, and otherwise
    up to the rounding of float32. Inside jit or vmap, a batch is one compiled loop that reports no
    progress, and the result holds JAX's arrays instead of NumPy's.

    The solver `LBFGSB` runs on the host instead, one problem at a time and on one device, and can't
    be traced.

    Args:
      vgg: The network, which is prepared first if it isn't yet (`prepare_for`).
      problems: A batch, or a queue of problems of one size.
      recipe: The objective, the solver, and the number of iterations.
      batch_size: Largest number of problems at a time, by default as many as the memory of the
        devices takes (`largest_batch`).
      every: Number of evaluations between two reports, or of iterations of `LBFGSB`; the first
        evaluation and the last are reported too. If the solver returns the last image, the first
        evaluation, of the start, isn't counted.
      on_progress: Function that is called with the number of evaluations done, or of iterations,
        and with the problems in flight.

    Raises:
      InputError: If the weights aren't of the kind that the recipe asks for; if `every` or
        `batch_size` is less than 1; if a problem of a queue isn't of length 1; or if a queue or
        `LBFGSB` is traced.

    >>> import jax.numpy as jnp, dfi_jax
    >>> recipe = dfi_jax.Recipe().set(
    ...     {"features.layers": "conv1_1", "features.size": "16", "solver.iterations": "3"}
    ... )
    >>> vgg, image = dfi_jax.load_vgg("random-vgg16"), jnp.full((1, 16, 16, 3), 0.5)
    >>> vector = {"conv1_1": jnp.ones((16, 16, 64))}
    >>> problem = dfi_jax.make_problem(vgg, image, vector, jnp.array([0.1]), recipe=recipe)
    >>> reconstruct(vgg, problem, recipe=recipe).images.shape
    (1, 16, 16, 3)
    >>> [index for index, _ in reconstruct(vgg, [problem] * 2, recipe=recipe, batch_size=1)]
    [0, 1]
    >>> @jax.jit
    ... @jax.vmap
    ... def edit(image, alpha):
    ...     problem = dfi_jax.make_problem(vgg, image[None], vector, alpha[None], recipe=recipe)
    ...     return reconstruct(vgg, problem, recipe=recipe).images[0]
    >>> edit(jnp.repeat(image, 2, axis=0), jnp.array([0.1, 0.2])).shape
    (2, 16, 16, 3)
    """
    check_network(vgg, recipe=recipe)
    for name, value in (("every", every), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; give 1 or more.")
    vgg = prepare_for(vgg, recipe=recipe)
    largest = batch_size or largest_batch(vgg, recipe=recipe)
    vgg, recipe = _program_network(vgg), _program_recipe(recipe)
    if not isinstance(problems, Problem):
        return _solve_queue(
            vgg,
            # A generator would keep the last problem in memory until it is asked for the next.
            map(partial(_check_single, vgg), itertools.count(), problems),
            recipe=recipe,
            batch_size=largest,
            every=every,
            total=None,
            on_progress=on_progress,
        )
    if _is_traced(vgg, problems):
        if isinstance(recipe.solver, LBFGSB):
            raise InputError(
                "the recipe's solver lbfgsb runs on the host, outside jit and vmap; call "
                "reconstruct without them, or choose another solver."
            )
        end: Any = descent.run(vgg, problems, recipe=recipe)
        iterations = end.iterations - int(recipe.solver.returns_last)
        return Reconstruction(end.best, end.value, end.history, iterations, end.iterations)
    n = len(problems.start)
    if n == 0:
        images, counts = np.array(problems.start), np.zeros(0, np.int32)
        objective, history = (np.zeros(shape, images.dtype) for shape in (0, (0, 0)))
        return Reconstruction(images, objective, history, counts, counts)
    singles = (jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], problems) for i in range(n))
    queue = _solve_queue(
        vgg,
        singles,
        recipe=recipe,
        batch_size=min(n, largest),
        every=every,
        total=n * recipe.solver.reported,
        on_progress=on_progress,
    )
    results = [result for _, result in sorted(queue, key=lambda item: item[0])]
    return concatenate(results)


def prepare_for(vgg: VGG, *, recipe: Recipe) -> VGG:
    """Returns the network as `reconstruct` uses it for any problem of a recipe.

    On a CPU, a recipe of `WINOGRAD_FROM` iterations or more uses Winograd's convolutions. The
    choice depends on the recipe alone, never on how many problems there are, so a photo is edited
    in the same way whatever else is queued. A network that is prepared already stays as it is,
    unless its precision was changed since.

    >>> import dfi_jax
    >>> vgg, recipe = dfi_jax.load_vgg("random-vgg16"), dfi_jax.Recipe()
    >>> prepare_for(vgg, recipe=recipe.set({"solver.iterations": "10"})).convolution
    'direct'
    """
    filters: dict[str, Filters] = vgg.filters or {}
    if filters and all(each.precision == vgg.precision for each in filters.values()):
        return vgg
    winograd = jax.default_backend() == "cpu" and recipe.solver.iterations >= WINOGRAD_FROM
    return prepare(vgg, layers=recipe.features.layers, winograd=winograd)


def largest_batch(vgg: VGG, *, recipe: Recipe) -> int:
    """Returns how many problems the memory of this process's devices takes at a time.

    On a CPU it is `LARGEST_BATCH_ON_CPU` per device. On an accelerator it is half of the free
    memory divided by the memory of a problem (`problem_bytes`), at least 1 and at most
    `LARGEST_BATCH` per device.

    >>> import dfi_jax
    >>> largest_batch(dfi_jax.load_vgg("random-vgg16"), recipe=dfi_jax.Recipe()) >= 1
    True
    """
    if jax.default_backend() == "cpu":
        return jax.local_device_count() * LARGEST_BATCH_ON_CPU
    fitting = devices.free_memory() // 2 // problem_bytes(vgg.architecture, recipe=recipe)
    return jax.local_device_count() * max(1, min(fitting, LARGEST_BATCH))


def concatenate(results: list[Reconstruction]) -> Reconstruction:
    """Returns several reconstructions as one; the last values of shorter histories are repeated.

    >>> images, zero, one = np.zeros((1, 8, 8, 3)), np.zeros(1), np.ones(1, int)
    >>> long = Reconstruction(images, zero, np.array([[3.0, 2.0]]), 2 * one, 2 * one)
    >>> short = Reconstruction(images, zero, np.array([[5.0]]), one, one)
    >>> concatenate([long, short]).history.tolist()
    [[3.0, 2.0], [5.0, 5.0]]
    """
    width = max(result.history.shape[1] for result in results)
    histories = [
        np.pad(result.history, ((0, 0), (0, width - result.history.shape[1])), "edge")
        for result in results
    ]
    return Reconstruction(
        images=np.concatenate([result.images for result in results]),
        objective=np.concatenate([result.objective for result in results]),
        history=np.concatenate(histories),
        iterations=np.concatenate([result.iterations for result in results]),
        evaluations=np.concatenate([result.evaluations for result in results]),
    )


def _program_network(vgg: VGG) -> VGG:
    """Returns a network without what makes it another one than its numbers.

    Networks of one architecture then share programs, such as raw and normalised ones.
    """
    return dataclasses.replace(vgg, name=vgg.architecture, sha256="", normalized=False)


def _program_recipe(recipe: Recipe) -> Recipe:
    """Returns a recipe with the fields that the compiled programs depend on, and no others.

    Recipes that differ in the vector's scaling or the finish, for example, then share programs.
    """
    stage = recipe.features
    return Recipe(
        features=FeatureStage(
            layers=stage.layers,
            pool_rounding=stage.pool_rounding,
            normalization=stage.normalization,
        ),
        objective=recipe.objective,
        solver=recipe.solver,
    )


def _is_traced(*trees: VGG | Problem) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def _check_single(vgg: VGG, index: int, problem: Problem) -> Problem:
    """Returns a problem of a queue if a slot can hold it."""
    if _is_traced(vgg, problem):
        raise InputError(
            "a queue of problems runs outside jit and vmap; inside them, give one Problem that "
            "holds the whole batch."
        )
    if len(problem.start) != 1:
        raise InputError(
            f"problem {index} of the queue holds {len(problem.start)} images; give problems of "
            f"length 1, or one Problem without a queue."
        )
    return problem


def _solve_queue(
    vgg: VGG,
    problems: Iterable[Problem],
    *,
    recipe: Recipe,
    batch_size: int,
    every: int,
    total: int | None,
    on_progress: OnProgress | None,
) -> Iterator[tuple[int, Reconstruction]]:
    if isinstance(recipe.solver, LBFGSB):
        yield from lbfgsb.solve_queue(
            vgg, problems, recipe=recipe, every=every, total=total, on_progress=on_progress
        )
        return
    queue = enumerate(problems)
    first = list(itertools.islice(queue, batch_size))
    if not first:
        return
    slots = Slots(vgg, first, recipe=recipe)
    del first  # The slots hold copies.
    finished: list[tuple[int, Reconstruction]] = []
    ahead: deque[tuple[int, Problem]] = deque()
    passed, ended = 0, 0
    while slots.occupied:
        counted = passed - recipe.solver.returns_last
        steps = min(every - counted % every, int(slots.remaining.min())) if passed else 1
        slots.step(steps)
        passed += steps
        # The devices work while the caller writes these results.
        yield from finished
        # Problems are read ahead bit by bit, so that the first turns don't wait for all of them.
        soon = -(-slots.occupied * steps // recipe.solver.evaluations)
        ahead.extend(itertools.islice(queue, min(soon, slots.occupied - len(ahead))))

        slots.look()
        if on_progress is not None:
            seen = slots.in_flight()
            done = ended + int(seen.iterations.sum())
            on_progress(
                Progress(
                    phase="reconstruction",
                    done=done,
                    total=total,
                    unit="evaluations",
                    in_flight=seen,
                )
            )
        finished = slots.take_finished()
        ended += sum(int(result.evaluations[0]) for _, result in finished)
        for _ in finished:
            following = ahead.popleft() if ahead else next(queue, None)
            if following is not None:
                slots.fill(*following)
        if np.all(slots.remaining == recipe.solver.evaluations):
            passed = 0  # Every problem is new, so reports come as for a problem alone.
        slots.shrink()
    yield from finished
