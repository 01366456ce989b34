"""The reconstructions of jobs: in one queue, in turn, at larger sizes, and at strength 0."""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfi_jax.editor.job import Job
from dfi_jax.editor.work import Work
from dfi_jax.engine.problem import Problem, make_problem
from dfi_jax.engine.reconstruction import reconstruct
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.network.vgg import VGG
from dfi_jax.progress import COMPILING, OnProgress, Progress
from dfi_jax.recipe import CancelResidual, FromPrevious, Recipe


def solve_queue(
    vgg: VGG,
    works: Iterable[Work],
    *,
    recipe: Recipe,
    batch_size: int | None,
    on_progress: OnProgress | None,
) -> Iterator[tuple[Work, Reconstruction]]:
    """Reconstructs all strengths of all photos in one queue.

    Args:
      vgg: The network, prepared.
      works: The jobs, which are taken shortly before there is room for them.
      recipe: The recipe of all jobs.
      batch_size: Maximum number of problems at a time.
      on_progress: Function that is called with the progress.

    Yields:
      Each job and its reconstructions, one per strength, as soon as all are done.
    """
    # Problems end in any order, so a result is identified by its position in the queue. A job holds
    # its photo, which is too large to keep once the job is done.
    origins: dict[int, tuple[Work, int]] = {}
    positions = itertools.count()

    def problems() -> Iterator[Problem]:
        for count, work in enumerate(works):
            work.begin()
            if not count and on_progress is not None:
                on_progress(COMPILING)
            for i, alpha in enumerate(work.alphas):
                origins[next(positions)] = work, i
                yield _make_problem(vgg, work, [alpha], recipe=recipe)

    results = reconstruct(
        vgg, problems(), recipe=recipe, batch_size=batch_size, on_progress=on_progress
    )
    for index, result in results:
        work, i = origins.pop(index)
        work.results[i] = result
        if work.solved:
            yield work, work.end()


def solve_in_turn(
    vgg: VGG, works: Iterable[Work], *, recipe: Recipe, on_progress: OnProgress | None
) -> Iterator[tuple[Work, Reconstruction]]:
    """Reconstructs one strength after the other, each from the result of the previous one.

    It takes the arguments of `solve_queue` except `batch_size`, and yields the same.
    """
    ended, done = 0, 0

    def report(progress: Progress) -> None:
        nonlocal done
        done = ended + progress.done
        if on_progress is not None:
            on_progress(dataclasses.replace(progress, done=done))

    for count, work in enumerate(works):
        work.begin()
        if not count and on_progress is not None:
            on_progress(COMPILING)
        now, start = recipe, None
        for i, alpha in enumerate(work.alphas):
            problem = _make_problem(vgg, work, [alpha], recipe=now, start=start)
            work.results[i] = reconstruct(vgg, problem, recipe=now, on_progress=report)
            ended = done
            now, start = later_recipe(recipe), np.clip(work.results[i].images, 0, 1)
        yield work, work.end()


def refine(
    vgg: VGG,
    work: Work,
    result: Reconstruction,
    *,
    batch_size: int | None,
    on_progress: OnProgress | None,
) -> Reconstruction:
    """Reconstructs all strengths of a job again at each larger size, from the result before.

    Args:
      vgg: The network, prepared.
      work: The job at its smallest size.
      result: The reconstructions at that size.
      batch_size: Maximum number of strengths at a time.
      on_progress: Function that is called with the progress, in the phase `refinement`.

    Returns:
      The images at the largest size. The history begins with that of the smaller sizes, and counts
      are sums over the sizes.
    """
    started = time.perf_counter()

    def report(progress: Progress) -> None:
        if on_progress is not None:
            on_progress(dataclasses.replace(progress, phase="refinement"))

    for coarser, finer in itertools.pairwise(work.sizes()):
        start = np.stack([finer.start_from(coarser, z) for z in result.images])
        problem = _make_problem(vgg, finer, finer.alphas, recipe=finer.recipe, start=start)
        refined = reconstruct(
            vgg, problem, recipe=finer.recipe, batch_size=batch_size, on_progress=report
        )
        result = refined._replace(
            history=np.concatenate([result.history, refined.history], axis=1),
            iterations=result.iterations + refined.iterations,
            evaluations=result.evaluations + refined.evaluations,
        )
    if work.finer is not None:
        work.seconds["refinement"] = time.perf_counter() - started
    return result


def later_recipe(recipe: Recipe) -> Recipe:
    """Returns the recipe of a strength that starts from the result of another one.

    >>> settings = {"start": "previous", "start.later_iterations": "0.5"}
    >>> later_recipe(Recipe().set(settings)).solver.iterations
    15
    """
    if not isinstance(recipe.start, FromPrevious) or recipe.start.later_iterations == 1:
        return recipe
    iterations = recipe.start.iterations_after(recipe.solver.iterations)
    return recipe.replace(solver=recipe.solver.replace(iterations=iterations))


def count_reported(recipe: Recipe, strengths: int) -> int:
    """Returns the maximum number of units in the progress of a photo with some strengths.

    >>> count_reported(Recipe(), 3)
    90
    """
    later = later_recipe(recipe)
    return recipe.solver.reported + (strengths - 1) * later.solver.reported


def with_total(
    on_progress: OnProgress | None, jobs: Iterable[Job], *, recipe: Recipe
) -> OnProgress | None:
    """Returns a function that reports the progress of reconstructions with the total of all jobs.

    The jobs of an iterable without a length are read one by one, so their total is unknown.
    """
    if on_progress is None:
        return None
    total = None
    if isinstance(jobs, Sequence):
        total = sum(count_reported(recipe, len(job.strengths(recipe))) for job in jobs)

    def report(progress: Progress) -> None:
        on_progress(dataclasses.replace(progress, total=total) if progress.unit else progress)

    return report


def solve_unedited(
    vgg: VGG, work: Work, step: CancelResidual, *, on_progress: OnProgress | None = None
) -> list[Float[np.ndarray, "s s 3"]]:
    """Returns the images at α = 0 after every `step.every` iterations.

    Each is the image that the solver would return: the best so far, or the last. A run that ends
    early has its last image in place of the missing ones.

    Args:
      vgg: The network, prepared.
      work: The job.
      step: The step of the recipe that uses the images.
      on_progress: Function that is called with the progress, in the phase `residual`.
    """
    # This tolerance would end the run before it has passed all candidates.
    solver = work.recipe.solver.replace(iterations=step.iterations, tolerance=0.0)
    recipe = work.recipe.replace(solver=solver)
    kept: list[np.ndarray] = []

    def keep(progress: Progress) -> None:
        iterations = progress.done - solver.returns_last
        if iterations and iterations % step.every == 0:
            kept.append(progress.in_flight.images[0])
        if on_progress is not None:
            on_progress(dataclasses.replace(progress, phase="residual"))

    problem = _make_problem(vgg, work, [0.0], recipe=recipe)
    result = reconstruct(vgg, problem, recipe=recipe, every=step.every, on_progress=keep)
    if len(kept) < step.iterations // step.every:
        kept.append(result.images[0])
    return [work.as_face(z) for z in kept]


def _make_problem(
    vgg: VGG, work: Work, alphas: Sequence[float], *, recipe: Recipe, start: Any = None
) -> Problem:
    # A target takes a single evaluation. Compiling it for prepared filters would take longer.
    return make_problem(
        dataclasses.replace(vgg, filters=None),
        jnp.asarray(work.seen)[None],
        work.vector.features,
        jnp.asarray(alphas, jnp.float32),
        recipe=recipe,
        replacement=work.vector.replacement,
        start=start,
    )
