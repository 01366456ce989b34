"""The solver of a recipe, as an Optax transformation of one problem's unknown.

`descent` maps it over a batch.
"""

import optax

from dfi_jax.engine.adam import adam
from dfi_jax.engine.lbfgs import lbfgs
from dfi_jax.engine.unguarded_lbfgs import unguarded_lbfgs
from dfi_jax.recipe import LBFGS, LBFGSB, Adam, UnguardedLBFGS


def make_solver(
    solver: LBFGS | UnguardedLBFGS | LBFGSB | Adam,
) -> optax.GradientTransformationExtraArgs:
    """Returns a recipe's solver, for one problem.

    Its `update` also takes `value`, the objective at `params`. `LBFGSB` isn't such a solver: it
    runs on the host (`dfi_jax.engine.lbfgsb`).

    >>> import jax.numpy as jnp
    >>> solver, x = make_solver(Adam(learning_rate=0.5)), jnp.array([3.0])
    >>> step, _ = solver.update(2 * x, solver.init(x), x, value=jnp.sum(x**2))
    >>> step.round(3).tolist()
    [-0.5]
    """
    match solver:
        case LBFGS():
            return lbfgs(solver.memory, relaxation=solver.relaxation)
        case UnguardedLBFGS():
            return unguarded_lbfgs(solver)
        case Adam():
            return optax.with_extra_args_support(adam(solver))
        case LBFGSB():
            raise AssertionError("L-BFGS-B runs on the host")
