"""How the objective is minimised. The algorithms are in `dfi_jax.engine`."""

from dataclasses import dataclass, field
from typing import ClassVar

from dfi_jax.errors import InputError
from dfi_jax.recipe.stage import Stage


@dataclass(frozen=True, kw_only=True)
class VGGSpectrum(Stage):
    """Scales frequencies, colours and places by how much they matter to a VGG.

    `dfi_jax.engine.preconditioner` has the formulas in which these numbers occur.

    Attributes:
      base_penalty: What is added to the measured power spectrum at every frequency. Features
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


@dataclass(frozen=True, kw_only=True)
class LBFGS(SolverStage):
    """L-BFGS without a line search (`dfi_jax.engine.lbfgs`).

    Attributes:
      iterations: Maximum number of evaluations.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
      memory: Number of pairs, of a step and its change of the gradient, that are remembered.
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
class Adam(SolverStage):
    """Adam (Kingma and Ba 2015) on pixels in [0, 1].

    Attributes:
      iterations: Maximum number of evaluations.
      tolerance: A problem ends if ten iterations lower its objective by less than this fraction;
        0 runs all iterations.
      learning_rate: Step size.
    """

    kind: ClassVar[str] = "adam"

    learning_rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self.kind, "learning_rate", self.learning_rate)


def _check_positive(kind: str, name: str, value: float) -> None:
    if value <= 0:
        raise InputError(f"the recipe's {kind}.{name} is {value}; give more than 0.")
