"""Attribute vectors: the mean difference of features between images with and without an attribute, and their files."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import struct
from jaxtyping import Float

from dfi_jax.errors import FileError, InputError
from dfi_jax.features import mean_features
from dfi_jax.files import write_tensors
from dfi_jax.recipe import Norm, Recipe, Scope
from dfi_jax.vgg import VGG, Features, feature_shapes

STARTERS = Path(__file__).parent / "assets" / "vectors"
"""Where the vectors lie that come with the package, one `NAME.safetensors` an attribute."""


@dataclass(frozen=True)
class Provenance:
    """What an attribute vector was made from; it is written into the vector's file and into every result.

    Attributes:
      dataset: what it was computed over, by name.
      attributes: what the target images have (`~`: lack), and the source images the opposite of.
      k: at most so many images a set.
      n_source: images in the source set.
      n_target: images in the target set.
      network: the name of the network.
      weights_sha256: of its parameters.
      layers: of the network.
      size: height and width of the images.
      crop: of the photographs, (x0, y0, x1, y1) in pixels, or None for the whole of each.
      feature_norm: whether each image's features were normalised, and
      norm_scope: over what.
      note: anything else to know.
    """

    dataset: str
    attributes: tuple[str, ...]
    k: int
    n_source: int
    n_target: int
    network: str
    weights_sha256: str
    layers: tuple[str, ...]
    size: int
    crop: tuple[int, int, int, int] | None = None
    feature_norm: Norm = "none"
    norm_scope: Scope = "layer"
    note: str = ""


@struct.dataclass
class AttributeVector:
    """w, a feature dict without a batch axis, `{layer: (h, w, c)}`, and what it was made from. A pytree."""

    features: Features
    provenance: Provenance = struct.field(pytree_node=False)


def compute(
    vgg: VGG,
    source: Iterable[Float[np.ndarray, "_ h w 3"]],
    target: Iterable[Float[np.ndarray, "_ h w 3"]],
    provenance: Provenance,
) -> AttributeVector:
    """w = mean φ(target) − mean φ(source), over batches of images, a batch in memory at a time.

    Raises:
      InputError: where a set is empty.
    """
    means = [
        mean_features(vgg, batches, layers=provenance.layers, norm=provenance.feature_norm, scope=provenance.norm_scope)
        for batches in (target, source)
    ]
    return AttributeVector(jax.tree.map(jnp.subtract, *means), provenance)


def check(vector: AttributeVector, vgg: VGG, recipe: Recipe) -> None:
    """Raises InputError unless the vector was made with this network and as the recipe uses it."""
    made = vector.provenance
    pairs = {
        "the network": (f"{made.network} ({made.weights_sha256[:8]})", f"{vgg.name} ({vgg.sha256[:8]})"),
        "layers": (made.layers, recipe.layers),
        "image size": (made.size, recipe.size),
        "feature_norm": (made.feature_norm, recipe.feature_norm),
    }
    if recipe.feature_norm != "none":
        pairs["norm_scope"] = (made.norm_scope, recipe.norm_scope)
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"the attribute vector was made with {what} {_words(theirs)} and this run has {_words(ours)}; "
                f"compute the vector anew from a dataset, or change the recipe."
            )
    shapes = feature_shapes(vgg.architecture, recipe.layers, (recipe.size, recipe.size))
    for name, shape in shapes.items():
        if vector.features[name].shape != shape:
            raise InputError(f"the attribute vector's {name} has shape {vector.features[name].shape} and this "
                             f"run's is {shape}; compute the vector anew from a dataset.")  # fmt: skip


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def save(path: Path, vector: AttributeVector, *, dtype: Literal["float32", "int8"] = "float32") -> None:
    """Writes a vector as safetensors, whole or not at all; every field of its provenance is metadata, as JSON.

    Args:
      path: of the file.
      vector: to write.
      dtype: `float32`, a tensor a layer; or `int8`, a quarter of the size: round(w/s) with a scale
        s = max|w|/127 for each channel, in a second tensor `LAYER.scale`.

    Raises:
      FileError: where it can't be written.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, layer in vector.features.items():
        w = np.asarray(layer)
        if dtype == "int8":
            steps = np.max(np.abs(w), axis=(0, 1)) / 127
            tensors[f"{name}.scale"] = steps.astype(np.float32)
            tensors[name] = np.round(w / np.where(steps > 0, steps, 1)).astype(np.int8)
        else:
            tensors[name] = np.ascontiguousarray(w, np.float32)
    described = {key: json.dumps(value) for key, value in dataclasses.asdict(vector.provenance).items()}
    write_tensors(path, tensors, metadata=described)


def load(path: Path) -> AttributeVector:
    """Reads what `save` wrote. Raises FileError for a file that is missing, damaged or no attribute vector."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            described = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise FileError(f"{path} does not exist; check the path.") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise FileError(f"{path} can't be read as an attribute vector ({error}).") from None
    try:
        values = {key.name: json.loads(described[key.name]) for key in dataclasses.fields(Provenance)}
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        provenance = Provenance(**values | lists)
        layers = {name: _read_layer(tensors, name) for name in provenance.layers}
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} is not an attribute vector of dfi_jax (without {error}); "
                        f"give a file that `attribute.save` wrote.") from None  # fmt: skip
    if not all(np.isfinite(layer).all() for layer in layers.values()):
        raise FileError(f"{path} has values that are not finite; compute the vector anew.")
    return AttributeVector({name: jnp.asarray(layer) for name, layer in layers.items()}, provenance)


def _read_layer(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    w = tensors[name]
    if w.ndim != 3:
        raise ValueError(f"three axes in {name}")
    return w * tensors[f"{name}.scale"] if w.dtype == np.int8 else w.astype(np.float32)


def starter_names() -> tuple[str, ...]:
    """The attributes whose vectors come with the package."""
    return tuple(sorted(path.stem for path in STARTERS.glob("*.safetensors")))


def starter(name: str) -> AttributeVector:
    """A vector that comes with the package, whatever the name's case. Raises InputError, with the names there are."""
    if name.casefold() not in starter_names():
        raise InputError(f"there is no starter vector {name!r}, there are {', '.join(starter_names())}; name one of "
                         f"these, or give a vector file or a dataset to compute it from.")  # fmt: skip
    return load(STARTERS / f"{name.casefold()}.safetensors")
