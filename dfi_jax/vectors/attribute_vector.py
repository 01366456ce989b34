"""Attribute vectors, which are differences of mean features, and their files."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import struct

from dfi_jax.data.wanted import opposite
from dfi_jax.errors import FileError, InputError
from dfi_jax.network.vgg import VGG, feature_shapes
from dfi_jax.recipe import Recipe, Unshrunk, Wiener
from dfi_jax.recipe.features import Features
from dfi_jax.recipe.removal import Replacement
from dfi_jax.storage.files import check_file, user_path, write_tensors
from dfi_jax.vectors.provenance import Provenance, words
from dfi_jax.vectors.replacement import of_attribute

DENOISED = Wiener(focus=1.0)
"""Shrinkage of the vector that an attribute is located by. Noise is everywhere, whether or not the
recipe leaves it in the vector."""


@struct.dataclass
class AttributeVector:
    """w = mean φ(target) − mean φ(source), and how it was made. A pytree.

    Attributes:
      features: w, (h, w, c) per layer.
      provenance: Record of how it was made.
      replacement: Features that replace a photo's own where the attribute is taken away, or None.
    """

    features: Features = struct.field(repr=False)
    provenance: Provenance = struct.field(pytree_node=False)
    replacement: Replacement | None = struct.field(default=None, repr=False)

    def save(self, path: str | Path, *, dtype: Literal["float32", "int8"] = "float32") -> None:
        """Writes the vector as a safetensors file, whole or not at all.

        The provenance is in the file's metadata, one JSON value per field. If the replacement is
        known, each of its parts is a tensor `LAYER.PART` beside w, which is the tensor `LAYER`.

        Args:
          path: The file to write.
          dtype: Type of the numbers. `int8` takes a quarter of the space: it stores round(w/s),
            with a scale s = max|w|/127 per channel in a second tensor `LAYER.scale`.

        Raises:
          FileError: If the file can't be written.
          InputError: If the numbers can't be of that type.

        >>> import tempfile
        >>> from dfi_jax import starter
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     starter("older").save(f"{folder}/older.safetensors", dtype="int8")
        ...     AttributeVector.load(f"{folder}/older.safetensors").provenance.dataset
        'lfw'
        """
        if dtype not in ("float32", "int8"):
            raise InputError(f"dtype is {dtype!r}; choose from float32, int8.")
        parts = {"": self.features}
        if self.replacement is not None:
            parts |= {f".{part}": layers for part, layers in self.replacement._asdict().items()}
        tensors: dict[str, np.ndarray] = {}
        for part, layers in parts.items():
            for layer, w in layers.items():
                tensors |= _store_layer(layer + part, np.asarray(w), dtype)
        metadata = {key: json.dumps(value) for key, value in self.provenance.to_dict().items()}
        write_tensors(user_path(path), tensors, metadata=metadata)

    @classmethod
    def load(cls, path: str | Path) -> "AttributeVector":
        """Reads a vector that `save` wrote.

        Raises:
          FileError: If the file is missing, damaged, or isn't an attribute vector.

        >>> from dfi_jax.vectors.starters import STARTERS
        >>> AttributeVector.load(STARTERS / "older.safetensors").provenance.size
        200
        """
        path = user_path(path)
        check_file(path)
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                names = file.keys()
                tensors = {name: file.get_tensor(name) for name in names}
        except (OSError, safetensors.SafetensorError) as error:
            raise FileError(
                f"{path} can't be read as an attribute vector ({error}); give a file that "
                f"`dfi vectors make` or `AttributeVector.save` wrote."
            ) from None
        try:
            provenance = Provenance.from_dict({k: json.loads(v) for k, v in metadata.items()})
            layers = _read_layers(tensors, provenance.layers, "")
            found = None
            if f"{provenance.layers[0]}.{Replacement._fields[0]}" in tensors:
                found = Replacement(
                    *(
                        _read_layers(tensors, provenance.layers, f".{n}")
                        for n in Replacement._fields
                    )
                )
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            raise FileError(
                f"{path} is not an attribute vector of dfi_jax ({error}); give a file that "
                f"`dfi vectors make` or `AttributeVector.save` wrote."
            ) from None
        if not all(np.isfinite(layer).all() for layer in jax.tree.leaves((layers, found))):
            raise FileError(f"{path} has values that are not finite; compute the vector again.")
        return cls(layers, provenance, found)

    def opposite(self) -> "AttributeVector":
        """Returns −w, which takes the attribute away.

        It isn't calibrated: removing an attribute isn't adding it with another sign.

        >>> from dfi_jax import starter
        >>> starter("older").opposite().provenance.attributes
        ('Young',)
        """
        flipped = tuple(map(_flip, self.provenance.attributes))
        return AttributeVector(
            {name: -layer for name, layer in self.features.items()},
            dataclasses.replace(self.provenance, attributes=flipped, calibration=()),
            self.replacement and self.replacement.opposite(),
        )

    def scaled(self, factor: float) -> "AttributeVector":
        """Returns factor·w. Its strength 1 replaces as much as that of w.

        Raises:
          InputError: If the factor isn't finite.

        >>> from dfi_jax import starter
        >>> older = starter("older")
        >>> float(older.scaled(2.0).features["conv5_1"].max() / older.features["conv5_1"].max())
        2.0
        """
        if not np.isfinite(factor):
            raise InputError(f"the factor is {factor}; give a finite number.")
        made, factor = self.provenance, float(factor)
        # No strength of 0·w moves a face.
        calibration = made.calibration if factor else ()
        return AttributeVector(
            {name: factor * layer for name, layer in self.features.items()},
            dataclasses.replace(
                made,
                length=tuple(abs(factor) * length for length in made.length),
                noise=tuple(abs(factor) * noise for noise in made.noise),
                calibration=tuple((alpha / factor, moved) for alpha, moved in calibration),
            ),
            self.replacement.opposite() if self.replacement and factor < 0 else self.replacement,
        )

    def check(self, vgg: VGG, *, recipe: Recipe) -> None:
        """Raises InputError unless the vector fits a network and a recipe's features.

        >>> from dfi_jax.network.weights import load_vgg
        >>> from dfi_jax import starter
        >>> starter("older").check(load_vgg("vgg16"), recipe=Recipe())
        """
        made, features = self.provenance, recipe.features
        pairs: dict[str, tuple[object, object]] = {
            "the network": (
                f"{made.network} ({made.weights_sha256[:8]})",
                f"{vgg.name} ({vgg.sha256[:8]})",
            ),
            "layers": (made.layers, features.layers),
            "pooled sizes rounded": (made.pool_rounding, features.pool_rounding),
            "image size": (made.size, features.size),
            "preparation": (made.preparation, features.preparation),
            "normalization": (made.normalization, features.normalization),
        }
        for what, (before, now) in pairs.items():
            if before != now:
                raise InputError(
                    f"the attribute vector was made with {what} {words(before)} and this run has "
                    f"{words(now)}; compute the vector from a dataset (--dataset), or edit with "
                    f"the weights and the recipe that it was made with."
                )
        shapes_now = feature_shapes(
            vgg.architecture,
            features.layers,
            features.seen_size,
            pool_rounding=features.pool_rounding,
        )
        for name, shape in shapes_now.items():
            expected = {"": (self.features, shape)}
            if self.replacement is not None:
                shapes = (shape, (*shape[:2], 1), (*shape[:2], 1))
                parts = zip(self.replacement._asdict().items(), shapes, strict=True)
                expected |= {f".{part}": (layers, shape) for (part, layers), shape in parts}
            for part, (layers, shape) in expected.items():
                if layers[name].shape != shape:
                    raise InputError(
                        f"the attribute vector's {name}{part} has shape {layers[name].shape} and "
                        f"this run's is {shape}; compute the vector from a dataset (--dataset)."
                    )


def from_estimate(
    w: Features,
    variance: Features | None,
    provenance: Provenance,
    *,
    average: Features,
    shrinkage: Unshrunk | Wiener,
) -> AttributeVector:
    """Returns an estimated vector, shrunk, whose provenance knows its length and its noise.

    Args:
      w: The estimate, (h, w, c) per layer.
      variance: s², the squared standard error of each activation of w, or None if it is unknown.
        Then w isn't shrunk.
      provenance: How w was estimated.
      average: Mean features of images, preferably without the attribute, which a removal puts in
        the place of a photo's own.
      shrinkage: Shrinkage that takes noise out of w.

    >>> w, variance = {"conv1_1": jnp.full((1, 1, 1), 5.0)}, {"conv1_1": jnp.full((1, 1, 1), 9.0)}
    >>> from dfi_jax import starter
    >>> made = dataclasses.replace(starter("older").provenance, layers=("conv1_1",))
    >>> found = from_estimate(w, variance, made, average=w, shrinkage=Unshrunk())
    >>> found.provenance.noise, found.provenance.signal
    ((3.0,), (4.0,))
    """
    w = {name: jnp.asarray(w[name]) for name in provenance.layers}
    if variance is None:
        return AttributeVector(w, provenance, of_attribute(w, average, provenance.attributes))
    length = {name: float(jnp.linalg.norm(layer)) for name, layer in w.items()}
    noise = {name: float(jnp.sqrt(jnp.sum(layer))) for name, layer in variance.items()}
    features = shrinkage.shrink(w, variance)
    denoised = DENOISED.shrink(w, variance)
    return AttributeVector(
        {name: features[name] for name in provenance.layers},
        dataclasses.replace(
            provenance,
            length=tuple(length[name] for name in provenance.layers),
            noise=tuple(noise[name] for name in provenance.layers),
            shrinkage=shrinkage,
        ),
        of_attribute(denoised, average, provenance.attributes),
    )


def _flip(attribute: str) -> str:
    """Returns the text of the opposite attribute, which may be a part of a sum: `0.5 × Smiling`."""
    strength, times, name = attribute.partition(" × ")
    if not times:
        return opposite(attribute)
    sign, size = ("", strength[1:]) if strength.startswith("-") else ("-", strength)
    return f"{sign}{size}{times}{name}"


def _store_layer(name: str, w: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    if dtype != "int8":
        return {name: np.ascontiguousarray(w, np.float32)}
    steps = np.max(np.abs(w), axis=(0, 1)) / 127
    return {
        name: np.round(w / np.where(steps > 0, steps, 1)).astype(np.int8),
        f"{name}.scale": steps.astype(np.float32),
    }


def _read_layers(
    tensors: dict[str, np.ndarray], layers: Sequence[str], part: str
) -> dict[str, jax.Array]:
    return {name: jnp.asarray(_read_layer(tensors, name + part)) for name in layers}


def _read_layer(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    w = tensors[name]
    with np.errstate(over="ignore", invalid="ignore"):
        w = w * tensors[f"{name}.scale"] if w.dtype == np.int8 else w
        w = w.astype(np.float32)
    if w.ndim != 3 or not w.size:
        raise ValueError(f"{name} has the shape {w.shape} instead of three axes")
    return w
