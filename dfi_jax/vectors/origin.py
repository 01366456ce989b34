"""What a fitted dataset was made from, which is stored with its sums."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfi_jax.network.conv import Precision
from dfi_jax.recipe import L2
from dfi_jax.recipe.features import PoolRounding
from dfi_jax.recipe.preparation import Preparation
from dfi_jax.recipe.stage import from_dict as read_stage
from dfi_jax.recipe.stage import to_json
from dfi_jax.storage.fields import read_fields


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The origin of the sums in a fitted dataset.

    Attributes:
      dataset: Name of the dataset.
      attributes: Names of the attributes.
      network: Name of the network.
      weights_sha256: SHA-256 of the network's weights.
      layers: Names of the layers.
      size: Height and width of the images, before their preparation.
      crop: Box that faces were cropped to, (x0, y0, x1, y1) in pixels, or None if they weren't.
      pool_rounding: How each pooling of the network rounded half of an odd size.
      preparation: Steps from each image to what the network saw.
      normalization: Normalisation of each image's features.
      where: Attributes that all images have or lack, as `data.wanted` writes them, or an empty
        text for all images.
      images: SHA-256 of everything that the images depend on.
      total: Number of images.
      warped: Whether faces were warped to the geometry of the average face.
      precision: Precision of the network's convolutions.
    """

    dataset: str
    attributes: tuple[str, ...]
    network: str
    weights_sha256: str
    layers: tuple[str, ...]
    size: int
    crop: tuple[int, int, int, int] | None
    normalization: L2 | None
    where: str
    images: str
    total: int
    pool_rounding: PoolRounding = "down"
    preparation: Preparation = ()
    warped: bool = False
    precision: Precision = "highest"

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON can write them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        stages = ("preparation", "normalization")
        return values | {name: to_json(values[name]) for name in stages}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Origin":
        """Returns the origin that `to_dict` wrote, perhaps by way of JSON.

        Raises:
          ValueError: If a value doesn't fit its field.
          KeyError, TypeError: If a field is missing.
        """
        stages = {
            "preparation": read_stage(Preparation, values.get("preparation", ()), "preparation"),
            "normalization": read_stage(L2 | None, values["normalization"], "normalization"),
        }
        return cls(**read_fields(cls, {**values, **stages}))
