"""SciPy's L-BFGS-B on the host, for one problem after the other.

The unknown is u = (z − mean)/unit in float64: the network's input, with its channels as RGB. JAX
computes the value and the gradient in the type of the network, which is float32.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dfi_jax.engine.descent import WINDOW
from dfi_jax.engine.objective import Evaluation, evaluate
from dfi_jax.engine.problem import Problem
from dfi_jax.engine.slots import InFlight, Reconstruction
from dfi_jax.network.vgg import VGG, Preprocess
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.recipe import LBFGSB, Box, Recipe


@dataclass(kw_only=True)
class Trace:
    """A problem that is being solved: its accepted image, and what happened so far.

    The line search evaluates points that SciPy may not accept. Only accepted points count as
    results, and the minimised function never rises from one to the next. If a line search fails,
    SciPy returns to the accepted point.

    Attributes:
      latest: The last evaluation.
      accepted: The evaluation of the image that SciPy would return.
      history: The objective of the accepted image after each evaluation.
      iterations: Number of iterations so far.
      earlier: The objective at the last measurement of progress.
    """

    latest: Evaluation | None = None
    accepted: Evaluation | None = None
    history: list[float] = field(default_factory=list)
    iterations: int = 0
    earlier: float = np.inf

    def add(self, found: Evaluation) -> None:
        """Records an evaluation. The first, of the start, is accepted."""
        self.latest = found
        if self.accepted is None:
            self.accepted = found
        self.history.append(self._objective)

    def accept(self, *, tolerance: float) -> bool:
        """Accepts the last evaluation, which ends an iteration, and returns whether to continue."""
        self.accepted, self.iterations = self.latest, self.iterations + 1
        self.history[-1] = self._objective
        if self.iterations % WINDOW:
            return True
        stalled = tolerance > 0 and self._objective >= (1 - tolerance) * self.earlier
        self.earlier = self._objective
        return not stalled

    def result(self) -> Reconstruction:
        """Returns the problem's reconstruction if it ended now."""
        assert self.accepted is not None
        return Reconstruction(
            images=np.array(self.accepted.images),
            objective=np.array(self.accepted.objective),
            history=np.array([self.history], self.accepted.objective.dtype),
            iterations=np.array([self.iterations]),
            evaluations=np.array([len(self.history)]),
        )

    @property
    def _objective(self) -> float:
        assert self.accepted is not None
        return float(self.accepted.objective[0])


def solve_queue(
    vgg: VGG,
    problems: Iterable[Problem],
    *,
    recipe: Recipe,
    every: int,
    total: int | None,
    on_progress: OnProgress | None,
) -> Iterator[tuple[int, Reconstruction]]:
    """Solves problems of length 1, one after the other.

    Args:
      vgg: The network, prepared.
      problems: The problems.
      recipe: The recipe, whose solver is `LBFGSB`.
      every: Number of iterations between two reports.
      total: Number of iterations of all problems, or None.
      on_progress: Function that is called with the progress, also after the first evaluation of
        each problem and after its end.

    Yields:
      Each problem's position and reconstruction.
    """
    ended = 0

    def report(index: int, now: Reconstruction) -> None:
        if on_progress is None:
            return
        in_flight = InFlight([index], now.iterations, now.objective, now.images)
        done = ended + int(now.iterations[0])
        on_progress(
            Progress(
                phase="reconstruction",
                done=done,
                total=total,
                unit="iterations",
                in_flight=in_flight,
            )
        )

    for index, problem in enumerate(problems):
        result = solve(vgg, problem, recipe=recipe, every=every, on_report=partial(report, index))
        ended += int(result.iterations[0])
        yield index, result


def solve(
    vgg: VGG,
    problem: Problem,
    *,
    recipe: Recipe,
    every: int = 5,
    on_report: Callable[[Reconstruction], None] = lambda _: None,
) -> Reconstruction:
    """Solves a problem of length 1.

    Args:
      vgg: The network, prepared.
      problem: The problem.
      recipe: The recipe, whose solver is `LBFGSB`.
      every: Number of iterations between two reports.
      on_report: Function that is called with the problem's reconstruction so far.

    >>> import dfi_jax
    >>> settings = {"features.layers": "conv1_1", "features.size": "16", "solver": "lbfgsb"}
    >>> recipe = dfi_jax.Recipe().set(settings).set({"solver.iterations": "2"})
    >>> vgg, image = dfi_jax.load_vgg("random-vgg16"), jnp.full((1, 16, 16, 3), 0.5)
    >>> vector = {"conv1_1": jnp.ones((16, 16, 64))}
    >>> problem = dfi_jax.make_problem(vgg, image, vector, [0.1], recipe=recipe)
    >>> solve(vgg, problem, recipe=recipe).iterations.tolist()
    [2]
    """
    # SciPy is only needed here, and takes a quarter of a second to import.
    from scipy.optimize import minimize

    solver, preprocess, shape = recipe.solver, vgg.preprocess, problem.start.shape
    assert isinstance(solver, LBFGSB)
    mean, unit = (np.array(rgb) for rgb in (preprocess.mean_rgb, preprocess.unit_rgb))
    # The program is the same whatever the solver's fields.
    program = partial(_evaluate, recipe=recipe.replace(solver=LBFGSB()))
    trace = Trace()

    def function(u: Float[np.ndarray, " size"]) -> tuple[float, Float[np.ndarray, " size"]]:
        images = jnp.asarray(mean + unit * u.reshape(shape), problem.start.dtype)
        found, gradient = program(vgg, images, problem)
        trace.add(found)
        if len(trace.history) == 1:
            on_report(trace.result())
        return float(found.minimised[0]), (unit * np.asarray(gradient, np.float64)).ravel()

    def end_iteration(_: Float[np.ndarray, " size"]) -> None:
        going = trace.accept(tolerance=solver.tolerance)
        if trace.iterations % every == 0:
            on_report(trace.result())
        if not going:
            raise StopIteration  # SciPy then ends the run.

    minimize(
        function,
        ((np.asarray(problem.start, np.float64) - mean) / unit).ravel(),
        method="L-BFGS-B",
        jac=True,
        bounds=_limits(recipe.objective.bounds, preprocess, shape),
        callback=end_iteration,
        options={
            "maxcor": solver.memory,
            "maxiter": solver.iterations,
            "maxfun": solver.evaluations,
            "ftol": solver.objective_tolerance,
            "gtol": solver.gradient_tolerance,
        },
    )
    result = trace.result()
    if trace.iterations % every or not trace.iterations:
        on_report(result)
    return result


def _limits(bounds: Any, preprocess: Preprocess, shape: tuple[int, ...]) -> Any:
    """Returns the bounds of the unknown as SciPy takes them, or None."""
    if not isinstance(bounds, Box):
        return None
    from scipy.optimize import Bounds

    limits = bounds.limits(preprocess.mean_rgb)
    scaled = (limits - np.array(preprocess.mean_rgb)) / np.array(preprocess.unit_rgb)
    low, high = (np.broadcast_to(limit, shape).ravel() for limit in scaled)
    return Bounds(low, high)


@partial(jax.jit, static_argnames="recipe")
def _evaluate(
    vgg: VGG, images: Float[Array, "1 h w 3"], problem: Problem, *, recipe: Recipe
) -> tuple[Evaluation, Float[Array, "1 h w 3"]]:
    def minimised(images: Array) -> tuple[Array, Evaluation]:
        found = evaluate(vgg, images, problem, recipe=recipe)
        return found.minimised.sum(), found

    (_, found), gradient = jax.value_and_grad(minimised, has_aux=True)(images)
    return found, gradient
