"""The steps from a reconstruction to the finished photo. `dfi_jax.photo` implements them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dfi_jax.errors import InputError
from dfi_jax.recipe.stage import Stage


@dataclass(frozen=True, kw_only=True)
class FinishStage(Stage):
    """A step between the reconstruction and the finished photo."""


@dataclass(frozen=True, kw_only=True)
class MatchColor(FinishStage):
    """Gives the edited face the mean and standard deviation of the original face.

    Attributes:
      over: Pixels that the mean and the deviation are computed over: those of each `channel` by
        itself, or all pixels of all channels as one `image`.
    """

    kind: ClassVar[str] = "match_color"

    over: Literal["channel", "image"] = "channel"


@dataclass(frozen=True, kw_only=True)
class CancelResidual(FinishStage):
    """Subtracts the error of a reconstruction at α = 0, as chainer-dfi does.

    After every `every` iterations, the image that the solver would return becomes a candidate: the
    best so far, or the last. The candidate whose error is nearest to the edit is used.

    Attributes:
      iterations: Number of iterations of the reconstruction at α = 0.
      every: Iterations between two candidates.
    """

    kind: ClassVar[str] = "cancel_residual"
    least: ClassVar = {"iterations": 1, "every": 1}

    iterations: int = 600
    every: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations % self.every:
            raise InputError(
                f"the recipe's cancel_residual.iterations is {self.iterations}; give a multiple "
                f"of cancel_residual.every, {self.every}."
            )


@dataclass(frozen=True, kw_only=True)
class Mask(FinishStage):
    """Keeps the edit inside the mask that comes with the photo."""

    kind: ClassVar[str] = "mask"


@dataclass(frozen=True, kw_only=True)
class Clip(FinishStage):
    """Clips pixels to [0, 1] before the steps that follow. The finished photo is always clipped."""

    kind: ClassVar[str] = "clip"


@dataclass(frozen=True, kw_only=True)
class Stretch(FinishStage):
    """Maps the smallest value of all pixels and channels to 0 and the largest to 1."""

    kind: ClassVar[str] = "stretch"


@dataclass(frozen=True, kw_only=True)
class TransferDifference(FinishStage):
    """Adds the difference between the edited and the original face to the photo at full size.

    Where an attribute is taken away, the photo first loses the details that the crop doesn't show,
    such as the edge of a frame. Without this step, the result is the crop that the network saw.

    Attributes:
      feather: Fraction of the crop's side over which the difference fades out, where the photo
        continues beyond the crop.
      truncate: Whether the difference is first clipped to −128 … 127 grey levels (0 to 255) and
        rounded down to whole ones, as in chainer-dfi.
    """

    kind: ClassVar[str] = "transfer_difference"
    least: ClassVar = {"feather": 0}

    feather: float = 0.08
    truncate: bool = False
