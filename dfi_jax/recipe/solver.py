"""How the objective is minimised. The algorithms are in `dfi_jax.engine`."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Literal

from dfi_jax.errors import InputError
from dfi_jax.recipe.stage import Stage


@dataclass(frozen=True, kw_only=True)
class VGGSpectrum(Stage):
    """Scales frequencies, colours and places by how much they matter to a VGG.

    `dfi_jax.engine.preconditioner` has the formulas in which these numbers occur.

    Attributes:
      base_penalty: Constant added to the measured power spectrum at every frequency. Features
        hardly see the broadest patterns, so the tone of the skin and of the background would
        drift.
      fine_penalty: Weight of the squared frequency, which is added too. Features hardly see the
        finest patterns either, so these would become noise.
      chroma_penalty: Factor of `fine_penalty` for colour, relative to grey. docs/solver.md has
        measurements of all three penalties.
      color: Whether colours are scaled differently from each other.
      contrast_power: Exponent of the blurred squared gradient; 0 scales all places alike.
      contrast_blur: Standard deviation, in pixels, of the Gaussian that blurs the squared gradient.
      contrast_floor: Minimum blurred squared gradient, as a fraction of its mean over the image.
    """

    kind: ClassVar[str] = "vgg"
    least: ClassVar = {
        "base_penalty": 0,
        "fine_penalty": 0,
        "chroma_penalty": 0,
        "contrast_power": 0,
        "contrast_blur": 0,
        "contrast_floor": 0,
    }

    base_penalty: float = 0.3
    fine_penalty: float = 300.0
    chroma_penalty: float = 20.0
    color: bool = True
    contrast_power: float = 0.2
    contrast_blur: float = 6.0
    contrast_floor: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SolverStage(Stage):
    """A solver that evaluates the objective and its gradient once per iteration.

    Attributes:
      iterations: Maximum number of evaluations.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
    """

    least: ClassVar = {"iterations": 1, "tolerance": 0}

    iterations: int = 100
    tolerance: float = 0.0

    @property
    def returns_last(self) -> bool:
        """Whether the last image is returned, even if an earlier one has a lower objective.

        A problem that diverges ends with the last image whose objective is finite.
        """
        return False

    @property
    def evaluations(self) -> int:
        """Maximum number of evaluations. The last image is evaluated too if it is returned."""
        return self.iterations + self.returns_last

    @property
    def reported(self) -> int:
        """Maximum number of units in the progress of a problem, which are evaluations."""
        return self.evaluations


@dataclass(frozen=True, kw_only=True)
class LBFGS(SolverStage):
    """L-BFGS without a line search (`dfi_jax.engine.lbfgs`).

    Attributes:
      iterations: Maximum number of evaluations.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
      memory: Largest number of pairs (step, change of the gradient) that are remembered.
      relaxation: Factor that every step is multiplied by.
      preconditioner: Scaling of the unknown, or None for plain pixels.
    """

    kind: ClassVar[str] = "lbfgs"
    least: ClassVar = {**SolverStage.least, "memory": 1}

    iterations: int = 30
    memory: int = 20
    relaxation: float = 1.3
    preconditioner: VGGSpectrum | None = field(default_factory=VGGSpectrum)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self.kind, "relaxation", self.relaxation)


@dataclass(frozen=True, kw_only=True)
class UnguardedLBFGS(SolverStage):
    """L-BFGS as published systems use it: every step is taken, and the last image is returned.

    `dfi_jax.engine.unguarded_lbfgs` has the formulas. The unknown is the image in the network's own
    units: grey levels (0 to 255) for Caffe's weights, and standard deviations for torchvision's.
    The default fields are those of the DFI authors' Torch backend.

    Attributes:
      iterations: Maximum number of steps. There is one more evaluation, of the last image.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
      memory: Largest number of pairs (step, change of the gradient) that are remembered.
      relaxation: Factor that every step is multiplied by.
      first_step: The step from the start: −g·min(1, 1/‖g‖₁) with `unit`, or −g with `gradient`.
      curvature_floor: Smallest divisor. A pair whose yᵀs is smaller is divided by this instead.
      gradient_tolerance: A problem ends if no element of the gradient is larger.
      change_tolerance: A problem ends if no element of a step is larger, if the objective changes
        by less, or if the next step promises less. 0 ends no problem.

    References:
      `torch.optim.LBFGS`, https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html.
    """

    kind: ClassVar[str] = "unguarded_lbfgs"
    least: ClassVar = {
        **SolverStage.least,
        "memory": 1,
        "curvature_floor": 0,
        "gradient_tolerance": 0,
        "change_tolerance": 0,
    }

    iterations: int = 500
    memory: int = 100
    relaxation: float = 1.0
    first_step: Literal["unit", "gradient"] = "unit"
    curvature_floor: float = 0.0
    gradient_tolerance: float = 1e-5
    change_tolerance: float = 1e-9

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self.kind, "relaxation", self.relaxation)

    @property
    def returns_last(self) -> bool:
        """True."""
        return True


@dataclass(frozen=True, kw_only=True)
class LBFGSB(SolverStage):
    """SciPy's L-BFGS-B, which has a line search and can keep pixels in a `Box`.

    SciPy runs on the host, in float64, with the value and the gradient that JAX computes. Problems
    are solved one after the other. The unknown is the image in the network's own units.

    Attributes:
      iterations: Maximum number of iterations, each of which takes one evaluation or more.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
      memory: Largest number of pairs (step, change of the gradient) that are remembered.
      evaluations: Maximum number of evaluations.
      objective_tolerance: A problem ends if an iteration from f to f′ lowers the objective by no
        more than this times max(|f|, |f′|, 1).
      gradient_tolerance: A problem ends if no element of the projected gradient is larger.

    References:
      Byrd, Lu, Nocedal and Zhu, "A Limited Memory Algorithm for Bound Constrained Optimization",
      SIAM Journal on Scientific Computing 16, 1995, https://doi.org/10.1137/0916069.
    """

    kind: ClassVar[str] = "lbfgsb"
    least: ClassVar = {
        **SolverStage.least,
        "memory": 1,
        "evaluations": 1,
        "objective_tolerance": 0,
        "gradient_tolerance": 0,
    }

    iterations: int = 500
    memory: int = 10
    evaluations: int = 15000
    objective_tolerance: float = 2.220446049250313e-09
    gradient_tolerance: float = 1e-5

    @property
    def reported(self) -> int:
        """Maximum number of units in the progress of a problem, which are iterations."""
        return self.iterations


@dataclass(frozen=True, kw_only=True)
class Adam(SolverStage):
    """Adam (Kingma and Ba 2015) on pixels in [0, 1].

    A rate r and an ε for pixels in grey levels (0 to 255) correspond to r/255 and 255·ε here.

    Attributes:
      iterations: Maximum number of evaluations. With `result=last`, there is one more.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
      learning_rate: Step size.
      drops: Numbers of steps, in rising order, after which the learning rate is multiplied by
        `drop_factor`.
      drop_factor: Factor of each drop.
      epsilon: ε of m̂/(√v̂ + ε).
      epsilon_hat: Whether ε is added to √v before v is corrected for its start at 0, as in
        TensorFlow: (1 − β₁ᵗ)⁻¹·√(1 − β₂ᵗ)·m/(√v + ε).
      result: Image that is returned: the `best`, or the `last`.
    """

    kind: ClassVar[str] = "adam"
    least: ClassVar = {**SolverStage.least, "epsilon": 0}

    learning_rate: float = 0.02
    drops: tuple[int, ...] = ()
    drop_factor: float = 0.1
    epsilon: float = 1e-8
    epsilon_hat: bool = False
    result: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self.kind, "learning_rate", self.learning_rate)
        _check_positive(self.kind, "drop_factor", self.drop_factor)
        if any(later <= earlier for earlier, later in pairwise((0, *self.drops))):
            raise InputError(
                f"the recipe's adam.drops is {', '.join(map(str, self.drops))}; give numbers of "
                f"steps from 1, in rising order."
            )

    @property
    def returns_last(self) -> bool:
        """Whether `result` is `last`."""
        return self.result == "last"


def _check_positive(kind: str, name: str, value: float) -> None:
    if value <= 0:
        raise InputError(f"the recipe's {kind}.{name} is {value}; give more than 0.")
