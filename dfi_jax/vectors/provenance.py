"""How an attribute vector was made, which is stored with it and in every record."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from dfi_jax.recipe import L2, Unshrunk, Wiener
from dfi_jax.recipe.features import PoolRounding
from dfi_jax.recipe.preparation import Preparation
from dfi_jax.recipe.stage import Stage, to_json
from dfi_jax.recipe.stage import from_dict as read_stage
from dfi_jax.storage.fields import plain, read_fields

ALIKE = ("weights_sha256", "layers", "pool_rounding", "size", "preparation", "normalization")
"""Fields of a `Provenance` that must be equal for vectors to be added up."""

STAGES = {"preparation": Preparation, "normalization": L2, "shrinkage": Unshrunk | Wiener}
"""Fields of a `Provenance` that hold stages of a recipe, with what they may hold."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How an attribute vector was made. It is stored with the vector and in every record.

    Attributes:
      dataset: Name of the dataset.
      attributes: Attributes that the target images have, with the signs of `data.wanted.Wanted`.
      k: Maximum number of images per set, or None if there was none.
      n_source: Number of images without the attributes.
      n_target: Number of images with the attributes.
      network: Name of the network.
      weights_sha256: SHA-256 of the network's weights.
      layers: Names of the layers.
      size: Height and width of the images, before their preparation.
      crop: Box that faces were cropped to, (x0, y0, x1, y1) in pixels, or None if they weren't.
      warped: Whether faces were warped to the geometry of the average face.
      pool_rounding: How each pooling of the network rounded half of an odd size.
      preparation: Steps from each image to what the network saw.
      normalization: Normalisation of each image's features.
      images: SHA-256 of the images, in their order, or an empty string if it is unknown.
      near: Nearness by which the images were selected, or an empty string if there was no photo.
      rule: Rule by which the images were selected, as text and without its nearness and k, or an
        empty string if it is unknown.
      where: Attributes that all images of a fitted dataset have or lack.
      held: Attributes that least squares held constant.
      kept: Attributes whose vectors were projected out (`vectors.combination.project_out`).
      penalty: Ridge penalty of the held attributes, or None without least squares.
      length: ‖w‖ of each layer before shrinkage, and before other vectors were projected out, or an
        empty tuple if it is unknown.
      noise: √Σs² of each layer, with s the standard error of an activation of w, or an empty tuple.
      shrinkage: Shrinkage that took noise out of w.
      calibration: Pairs of a strength and the mean movement of faces at this strength, as a judge
        on another network measured it, with 1 the distance between typical faces without and with
        the attribute. Empty if the vector isn't calibrated.
      note: Anything else worth knowing.

    >>> from dfi_jax import starter
    >>> made = starter("older").provenance
    >>> made.to_dict()["attributes"], Provenance.from_dict(made.to_dict()) == made
    (('~Young',), True)
    """

    dataset: str
    attributes: tuple[str, ...]
    k: int | None
    n_source: int
    n_target: int
    network: str
    weights_sha256: str
    layers: tuple[str, ...]
    size: int
    crop: tuple[int, int, int, int] | None = None
    warped: bool = False
    pool_rounding: PoolRounding = "down"
    preparation: Preparation = ()
    normalization: L2 | None = None
    images: str = ""
    near: str = ""
    rule: str = ""
    where: str = ""
    held: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    penalty: float | None = None
    length: tuple[float, ...] = ()
    noise: tuple[float, ...] = ()
    shrinkage: Unshrunk | Wiener = field(default_factory=Unshrunk)
    calibration: tuple[tuple[float, float], ...] = ()
    note: str = ""

    @property
    def signal(self) -> tuple[float, ...]:
        """√max(0, ‖w‖² − Σs²) of each layer: the estimated length of w without its noise."""
        pairs = zip(self.length, self.noise, strict=True)
        return tuple(math.sqrt(max(0.0, length**2 - noise**2)) for length, noise in pairs)

    @property
    def noise_share(self) -> float | None:
        """Σs²/‖w‖², the share of noise in the energy of w, as a mean over layers.

        It is an estimate, which can exceed 1 if w is nothing but noise.
        """
        pairs = zip(self.length, self.noise, strict=True)
        shares = [noise**2 / length**2 for length, noise in pairs if length**2 > 0]
        return sum(shares) / len(shares) if shares else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON can write them."""
        values = {each.name: plain(getattr(self, each.name)) for each in dataclasses.fields(self)}
        return {name: to_json(value) if name in STAGES else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Provenance":
        """Returns the provenance that `to_dict` wrote, perhaps by way of JSON.

        Raises:
          ValueError: If a value doesn't fit its field.
          TypeError: If a field is missing.
        """
        stages = {
            name: read_stage(kinds, values[name], name)
            for name, kinds in STAGES.items()
            if values.get(name) is not None
        }
        made = cls(**read_fields(cls, values | stages))
        if not made.layers:
            raise ValueError("layers is empty")
        for name in ("length", "noise"):
            numbers = getattr(made, name)
            if len(numbers) not in (0, len(made.layers)) or len(numbers) != len(made.length):
                raise ValueError(f"{name} has {len(numbers)} numbers for {len(made.layers)} layers")
        return made


def words(value: object) -> str:
    """Returns a field of a `Provenance` as people read it, in the words of docs/recipes.md.

    >>> words(("conv3_1", "conv4_1")), words(Unshrunk()), words(())
    ('conv3_1, conv4_1', 'unshrunk', 'none')
    >>> words(Wiener())
    'wiener (over neighborhood, strength 1.5, focus 0.0)'
    """
    if value is None or value == ():
        return "none"
    if isinstance(value, Stage):
        fields = {name: field for name, field in value.to_dict().items() if name != "kind"}
        listed = ", ".join(f"{name} {words(field)}" for name, field in fields.items())
        return f"{value.kind} ({listed})" if fields else value.kind
    return ", ".join(map(words, value)) if isinstance(value, tuple) else str(value)
