"""Reconstruction: the images whose features are nearest to their targets, a batch of independent problems at a time.

A problem is a start and a target. Every problem in a batch has its own solver state, its own record of the objective
and its own end, so a batch gives the same images as its problems one by one, to float tolerance.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dfi_jax import descent, parallel
from dfi_jax.problem import Problem, check_network, make_problem, problem_bytes
from dfi_jax.recipe import Recipe
from dfi_jax.vgg import VGG, Features, prepare

PREPARE_FROM = 300
"""Iterations, of all problems together, from which `vgg.prepare` pays: what it makes takes 18 seconds longer to compile
and saves 0.07 seconds an iteration of a problem (VGG-16, 200 × 200, 2 CPU cores)."""

MOST = {True: 1, False: 64}
"""Problems at a time on one device, at most, if it is a CPU or not. On a CPU five at once take 5.6 times as long as one
(4.7–5.8; VGG-19, 200 × 200, 2 cores), and one at a time is one program to compile, whatever their number."""


class Reconstruction(NamedTuple):
    """What a batch of problems gave.

    Attributes:
      images: z, in [0, 1].
      objective: at z.
      history: the objective of the best image so far after each evaluation; once a problem is done it stays.
      iterations: evaluations that each problem took.
    """

    images: Float[np.ndarray, "n h w 3"]
    objective: Float[np.ndarray, " n"]
    history: Float[np.ndarray, "n i"]
    iterations: Int[np.ndarray, " n"]


class Progress(NamedTuple):
    """Where a reconstruction stands.

    Attributes:
      iteration: evaluations done, of `total` at most.
      total: evaluations to do.
      objective: of each problem's best image so far.
      images: those.
    """

    iteration: int
    total: int
    objective: Float[np.ndarray, " n"]
    images: Float[Array, "n h w 3"]


class InFlight(NamedTuple):
    """The problems that a stream is at work on; arrays have one entry each.

    Attributes:
      indices: of the problems, counted from 0 in their order.
      iterations: evaluations that each has had.
      objective: of each one's best image so far.
      images: those.
    """

    indices: list[int]
    iterations: Int[np.ndarray, " s"]
    objective: Float[np.ndarray, " s"]
    images: Float[np.ndarray, "s h w 3"]


def reconstruct(
    vgg: VGG,
    problem: Problem,
    *,
    recipe: Recipe,
    batch_size: int | None = None,
    every: int = 5,
    on_progress: Callable[[Progress], None] | None = None,
) -> Reconstruction:
    """argmin over z of distance(φ(z), target) + λ·R(z), for every problem of the batch.

    Args:
      vgg: the network.
      problem: the batch, of any length.
      recipe: the objective, the solver, its iterations and the image's bounds.
      batch_size: problems at a time; as many as the devices' memory takes by default (`largest_batch`).
      every: iterations between two calls of `on_progress`; it is called after the first and the last as well.
      on_progress: called with where the reconstruction stands; `iteration` is that of a problem on average.

    Raises:
      InputError: for a `normalized` recipe with raw weights or the reverse.
    """
    n = len(problem.start)
    if vgg.filters is None and n * recipe.iterations >= PREPARE_FROM:
        vgg = prepare(vgg, layers=recipe.layers)
    images = np.array(_bounded(problem.start))
    value, iterations = np.full(n, np.inf, np.float32), np.zeros(n, np.int32)
    history = np.zeros((n, recipe.iterations), np.float32)

    def watch(now: InFlight) -> None:
        images[now.indices], value[now.indices], iterations[now.indices] = now.images, now.objective, now.iterations
        if on_progress is not None:
            mean = -(-int(iterations.sum()) // n)
            on_progress(Progress(mean, recipe.iterations, value.copy(), jnp.asarray(images)))

    singles = (jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], problem) for i in range(n))
    batch_size = min(n, batch_size or largest_batch(vgg, recipe))
    for i, result in stream(vgg, singles, recipe=recipe, batch_size=batch_size, every=every, on_progress=watch):
        history[i] = np.pad(result.history[0], (0, recipe.iterations - result.history.shape[1]), "edge")
    return Reconstruction(images, value, history[:, : iterations.max()], iterations)


def stream(
    vgg: VGG,
    problems: Iterable[Problem],
    *,
    recipe: Recipe,
    batch_size: int | None = None,
    every: int = 5,
    on_progress: Callable[[InFlight], None] | None = None,
) -> Iterator[tuple[int, Reconstruction]]:
    """Reconstructs a queue of any length: a problem that is done leaves its place in the batch to the next.

    Problems are taken from the queue a little before their places are free, and results are given, while the devices
    work on, so that reading photographs and writing results take no time of theirs. Where this process has several
    devices, the batch is spread over them.

    Args:
      vgg: the network, made ready (`vgg.prepare`) when so many problems have come that it pays.
      problems: single ones (batches of length 1), all of one size.
      recipe: as for `reconstruct`.
      batch_size: problems at a time; as many as the devices' memory takes by default (`largest_batch`).
      every: iterations between two looks at what is done, and two calls of `on_progress`.
      on_progress: called with the problems in flight.

    Yields:
      The number of a problem in the queue and its reconstruction, a batch of length 1, as each is done.

    Raises:
      InputError: for a `normalized` recipe with raw weights or the reverse.
    """
    check_network(vgg, recipe)
    queue = enumerate(problems)
    first = list(itertools.islice(queue, batch_size or largest_batch(vgg, recipe)))
    if not first:
        return
    devices = min(len(first), jax.local_device_count())
    mesh = parallel.mesh(devices)
    vgg = parallel.replicate(vgg, mesh)
    begun = len(first)
    ahead: deque[tuple[int, Problem]] = deque()
    places = {place: i for place, (i, _) in enumerate(first)}
    filled = [single for _, single in first] + [first[-1][1]] * (-len(first) % devices)
    # a copy: of a single problem `concatenate` gives the caller's own arrays, and places are filled in donated ones
    problem = parallel.shard(jax.tree.map(lambda *leaves: jnp.array(jnp.concatenate(leaves)), *filled), mesh)
    run = descent.begin(problem, recipe=recipe)
    run = parallel.shard(run._replace(done=jnp.arange(len(filled)) >= len(first)), mesh)
    passed, remaining = 0, recipe.iterations
    finished: list[tuple[int, Reconstruction]] = []
    while places:
        if vgg.filters is None and begun * recipe.iterations >= PREPARE_FROM:
            vgg = parallel.replicate(prepare(vgg, layers=recipe.layers), mesh)
        steps = min(every - passed % every, remaining) if passed else 1
        run = descent.advance(vgg, problem, run, steps, clock=passed, recipe=recipe, mesh=mesh)
        passed += steps
        yield from finished  # while the devices are at work
        soon = -(-len(places) * steps // recipe.iterations)  # a part of those to follow, not all at the first turn
        ahead.extend(itertools.islice(queue, min(soon, len(places) - len(ahead))))

        seen = Reconstruction(_bounded(run.best), run.value, run.history, run.iterations)  # type: ignore[arg-type]
        seen, done = jax.device_get((seen, run.done))
        if on_progress is not None:
            rows = list(places)
            on_progress(InFlight(list(places.values()), seen.iterations[rows], seen.objective[rows], seen.images[rows]))
        finished = []
        ran = {place: int(seen.iterations[place]) for place in places}
        for place in [place for place in places if done[place]]:
            one = jax.tree.map(lambda leaf, place=place: leaf[place : place + 1], seen)
            finished.append((places.pop(place), one._replace(history=one.history[:, : ran.pop(place)])))
            following = ahead.popleft() if ahead else next(queue, None)
            if following is not None:
                places[place], single = following
                problem, run = parallel.shard(
                    descent.place(problem, run, single, jnp.asarray(place), recipe=recipe), mesh
                )
                ran[place], begun = 0, begun + 1
        remaining = recipe.iterations - max(ran.values(), default=0)
        if not any(ran.values()):
            passed = 0  # every place is new, and its problem goes as it would alone, to the bit
        if devices == 1 and 0 < len(places) <= len(done) // 2:
            problem, run = descent.keep(problem, run, jnp.array(list(places)))
            places = dict(enumerate(places.values()))
    yield from finished


def largest_batch(vgg: VGG, recipe: Recipe) -> int:
    """Problems that the memory of this process's devices takes at a time, 1 at least.

    Half of what is free over the bytes of a problem (`problem_bytes`), at most `MOST` a device.
    """
    each = parallel.free_memory() // 2 // problem_bytes(vgg.architecture, recipe)
    return jax.local_device_count() * max(1, min(each, MOST[jax.default_backend() == "cpu"]))


def sweep(
    vgg: VGG,
    image: Float[Array, "h w 3"],
    vector: Features,
    alphas: Sequence[float],
    *,
    recipe: Recipe,
    on_progress: Callable[[Progress], None] | None = None,
) -> Reconstruction:
    """One image at several strengths: one batch, or one after the other where the recipe starts from the previous.

    Args:
      vgg: the network.
      image: x, RGB in [0, 1].
      vector: w, `{layer: (h, w, c)}`.
      alphas: strengths.
      recipe: as for `reconstruct`.
      on_progress: as for `reconstruct`; strengths one after the other are counted on.

    Returns:
      A reconstruction for each strength, in their order.
    """
    images = jnp.asarray(image)[None]
    if recipe.init != "previous":
        strengths = jnp.asarray(alphas, jnp.float32)
        images = jnp.broadcast_to(images, (len(alphas), *image.shape))
        problem = make_problem(vgg, images, vector, strengths, recipe=recipe)
        return reconstruct(vgg, problem, recipe=recipe, on_progress=on_progress)
    start, results = images, []
    for i, alpha in enumerate(alphas):
        problem = make_problem(vgg, images, vector, jnp.asarray([alpha], jnp.float32), recipe=recipe, start=start)

        def counted_on(progress: Progress, before: int = i * recipe.iterations) -> None:
            if on_progress is not None:
                total = len(alphas) * recipe.iterations
                on_progress(progress._replace(iteration=before + progress.iteration, total=total))

        results.append(reconstruct(vgg, problem, recipe=recipe, on_progress=counted_on))
        start = jnp.asarray(results[-1].images)
    width = max(result.history.shape[1] for result in results)
    history = [np.pad(result.history, ((0, 0), (0, width - result.history.shape[1])), "edge") for result in results]
    return Reconstruction(
        images=np.concatenate([result.images for result in results]),
        objective=np.concatenate([result.objective for result in results]),
        history=np.concatenate(history),
        iterations=np.concatenate([result.iterations for result in results]),
    )


def _bounded(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    return jnp.clip(images, 0, 1)
