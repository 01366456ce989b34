"""The recipe as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dfi_jax.errors import InputError
from dfi_jax.recipe.features import FeatureStage
from dfi_jax.recipe.finish import (
    CancelResidual,
    Clip,
    Mask,
    MatchColor,
    Stretch,
    TransferDifference,
)
from dfi_jax.recipe.objective import Box, ObjectiveStage
from dfi_jax.recipe.removal import Replace
from dfi_jax.recipe.shrinkage import Unshrunk, Wiener
from dfi_jax.recipe.solver import LBFGS, LBFGSB, Adam, UnguardedLBFGS
from dfi_jax.recipe.stage import Stage, from_dict, set_field
from dfi_jax.recipe.start import FromImage, FromNoise, FromPrevious, FromUniform
from dfi_jax.recipe.vector import Gain, MeanSquare, Unit, UnitTimesPhi
from dfi_jax.storage.fields import plain


@dataclass(frozen=True, kw_only=True)
class Recipe(Stage):
    """Every choice that an edit depends on, apart from the photo, the vector and the weights.

    `Recipe()` is the recipe `default`.

    Attributes:
      features: Features that are moved, with their normalisation.
      shrinkage: Removal of noise from the attribute vector, where a vector is computed.
      vector: Scaling of the attribute vector.
      removal: Replacement of the photo's own features where an attribute is taken away, or None to
        subtract the vector and nothing else.
      objective: Function of the image that is minimised.
      start: Image that the minimisation starts from.
      solver: Algorithm that minimises, with its number of iterations.
      finish: Steps from the reconstruction to the finished photo, in order, each at most once.

    Raises:
      InputError: If a field has a value of the wrong type or outside its range, or if stages don't
        fit each other.

    >>> Recipe().solver.iterations
    30
    >>> Recipe(solver=Adam(learning_rate=0.01)).to_dict()["solver"]["kind"]
    'adam'
    """

    kind: ClassVar[str] = "recipe"

    features: FeatureStage = field(default_factory=FeatureStage)
    shrinkage: Unshrunk | Wiener = field(default_factory=Wiener)
    vector: Gain | Unit | UnitTimesPhi | MeanSquare = field(default_factory=Gain)
    removal: Replace | None = field(default_factory=Replace)
    objective: ObjectiveStage = field(default_factory=ObjectiveStage)
    start: FromImage | FromNoise | FromUniform | FromPrevious = field(default_factory=FromImage)
    solver: LBFGS | UnguardedLBFGS | LBFGSB | Adam = field(default_factory=LBFGS)
    finish: tuple[MatchColor | CancelResidual | Mask | Clip | Stretch | TransferDifference, ...] = (
        TransferDifference(),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = [step.kind for step in self.finish]
        if len(set(kinds)) < len(kinds):
            raise InputError(
                f"the recipe's finish is {', '.join(kinds)}; give each kind of step once."
            )
        if TransferDifference.kind in kinds[:-1]:
            raise InputError(
                f"the recipe's finish is {', '.join(kinds)}; give transfer_difference as the last "
                f"step, because it leaves the crop."
            )
        if isinstance(self.objective.bounds, Box) and not isinstance(self.solver, LBFGSB):
            raise InputError(
                f"the recipe's objective.bounds is box and its solver is {self.solver.kind}; set "
                f"the solver to lbfgsb, which alone keeps a box, or the bounds to valid or none."
            )

    def set(
        self, changes: Mapping[str, str | float | bool | Sequence[str | float] | None]
    ) -> "Recipe":
        """Returns this recipe with fields set by path, as `--set PATH=VALUE` does.

        Args:
          changes: New values by path, as text or as Python values. A value is a number, `true` or
            `false`, a name, several names separated by commas, `none`, or the kind of a stage,
            whose fields then have their defaults.

        Raises:
          InputError: If the field doesn't exist, or a value doesn't fit it.

        >>> Recipe().set({"solver.memory": "5"}) == Recipe().set({"solver.memory": 5})
        True
        >>> Recipe().set({"start": "noise", "start.amplitude": "20"}).start
        FromNoise(amplitude=20.0, seed=0)
        >>> [step.kind for step in Recipe().set({"finish": "match_color,mask"}).finish]
        ['match_color', 'mask']
        """
        changed: Stage = self
        for path, value in changes.items():
            changed = set_field(changed, path, _as_text(value))
        assert isinstance(changed, Recipe)
        return changed

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Returns the recipe that `to_dict` wrote.

        Raises:
          InputError: If the values don't describe a recipe.

        >>> Recipe.from_dict(Recipe().to_dict()) == Recipe()
        True
        """
        found = from_dict(cls, values, "recipe")
        assert isinstance(found, cls)
        return found


def _as_text(value: object) -> str:
    """Returns a value as `--set` has it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    value = plain(value)
    if isinstance(value, tuple | list):
        return ",".join(map(str, value)) or "none"
    return str(value)
