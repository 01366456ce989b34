"""One pass over a dataset that adds up its features and scores."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dfi_jax.data.admission import thresholded
from dfi_jax.data.dataset import BATCH, Dataset
from dfi_jax.data.wanted import parse_shared
from dfi_jax.engine import devices
from dfi_jax.engine.share import Share, joined_share
from dfi_jax.errors import FileError, InputError
from dfi_jax.network.vgg import VGG, feature_shapes, features
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.recipe import Recipe
from dfi_jax.recipe.features import L2, Features, PoolRounding
from dfi_jax.recipe.preparation import prepare_images, prepared_size
from dfi_jax.vectors.fitted import FittedDataset, part_path
from dfi_jax.vectors.origin import Origin
from dfi_jax.vectors.ridge import check_scores

LARGEST_SCORE = 3.0
"""Scores are clipped to ±3. A classifier is certain there, and higher scores say little more."""

CHECKPOINT = 500
"""Number of images between two writes of the sums, which is what a killed run loses at most."""


def fit(
    vgg: VGG,
    dataset: Dataset,
    *,
    recipe: Recipe,
    where: str = "",
    rows: Sequence[int] | None = None,
    folder: Path | None = None,
    share: Share | None = None,
    on_progress: OnProgress | None = None,
) -> FittedDataset:
    """Returns XᵀX, Xᵀφ and Σφ² over the images of a dataset, for all its attributes at once.

    The devices of this process share each batch. Memory holds a batch and the sums: for VGG-16's
    default layers at 200 × 200 and 40 attributes, 170 MB. Several processes share the images, and
    each returns and writes the sums over its own; `FittedDataset.load` adds them up. Scores are
    clipped to ±3. On 2 cores, a fit of 40 attributes takes 1.25 times as long as the features alone
    (`benchmarks/fit_cost.py`).

    Args:
      vgg: The network.
      dataset: A dataset with scores.
      recipe: The layers, the size of the images and their preparation, and the normalisation of
        their features.
      where: Attributes that all images have or lack, such as `+Male` or `+Young,-Male`.
      rows: Numbers of the images, or None for all.
      folder: Folder that the sums are written to as they grow. If it has sums of the same images
        already, they are continued.
      share: Share of this process. By default, its share among the processes that
        `jax.distributed` has joined, or all images if it has joined none.
      on_progress: Function that is called with the number of images done.

    Raises:
      InputError: If the dataset has no scores, or some that aren't finite, or if no image has the
        attributes.
      FileError: If an image can't be read, or the folder has sums of something else.

    >>> import dfi_jax
    >>> recipe = dfi_jax.Recipe().set({"features.layers": "conv1_1", "features.size": "32"})
    >>> people = dfi_jax.load_dataset("synthetic:40")
    >>> fitted = fit(dfi_jax.load_vgg("random-vgg16"), people, recipe=recipe)
    >>> fitted.vector("Smiling").features["conv1_1"].shape
    (32, 32, 64)
    """
    if not dataset.attributes:
        raise InputError(
            f"the dataset {dataset.name} has no attribute scores to fit; give a dataset with "
            f"scores."
        )
    share = joined_share() if share is None else share
    part = (share.index + 1, share.count)
    admitted = _admitted(dataset, where, rows)
    rows_here = np.array(share.of(admitted), int)
    check_scores(dataset.scores[rows_here], dataset.name)
    origin = _origin(vgg, dataset, rows_here, recipe=recipe, where=where)
    fitted = None if folder is None else _begun(folder, part, origin)
    if fitted is None:
        fitted = _nothing(vgg, origin)
    if folder is not None and not len(rows_here):  # There are more processes than images.
        fitted.save(folder, part=part)
    for grown in _add_up(vgg, dataset, rows_here, fitted, on_progress=on_progress):
        fitted = grown
        if folder is not None:
            fitted.save(folder, part=part)
    return fitted


def _admitted(dataset: Dataset, where: str, rows: Sequence[int] | None) -> list[int]:
    """Returns the images that have and lack what `where` says."""
    admission = thresholded(dataset.scores)
    admitted = np.ones(len(dataset), bool)
    if rows is not None:
        admitted[:] = False
        admitted[list(rows)] = True
    for term in parse_shared(where, dataset.attributes):
        column = dataset.attributes.index(term.name)
        admitted &= (admission.on if term.on else admission.off)[:, column]
    if not admitted.any():
        raise InputError(
            f"no image of {dataset.name} is {where!r}; give other attributes, or none for all."
        )
    return np.flatnonzero(admitted).tolist()


def _origin(
    vgg: VGG, dataset: Dataset, rows: Int[np.ndarray, " r"], *, recipe: Recipe, where: str
) -> Origin:
    return Origin(
        dataset=dataset.name,
        attributes=dataset.attributes,
        network=vgg.name,
        weights_sha256=vgg.sha256,
        layers=recipe.features.layers,
        size=recipe.features.size,
        crop=dataset.crop,
        pool_rounding=recipe.features.pool_rounding,
        preparation=recipe.features.preparation,
        normalization=recipe.features.normalization,
        where=",".join(map(str, parse_shared(where, dataset.attributes))),
        images=hashlib.sha256(
            dataset.fingerprint(rows).encode() + dataset.scores[rows].tobytes()
        ).hexdigest(),
        total=len(rows),
        warped=dataset.warped,
        precision=vgg.precision,
    )


def _begun(folder: Path, part: tuple[int, int], origin: Origin) -> FittedDataset | None:
    """Returns the sums that an earlier run wrote, or None if there are none."""
    path = part_path(folder, part)
    if not path.exists():
        return None
    begun = FittedDataset.load_part(path)
    for name, value in origin.to_dict().items():
        if begun.origin.to_dict()[name] != value:
            raise FileError(
                f"{path} has sums of other images; choose another folder, or delete it."
                if name in ("images", "total")
                else f"{path} has sums with a different value of {name}; choose another folder, or "
                f"delete it."
            )
    return begun


def _nothing(vgg: VGG, origin: Origin) -> FittedDataset:
    size = prepared_size((origin.size, origin.size), origin.preparation)
    shapes = feature_shapes(
        vgg.architecture, origin.layers, size, pool_rounding=origin.pool_rounding
    )
    a = len(origin.attributes)
    return FittedDataset(
        origin=origin,
        scores=np.zeros((0, a), np.float32),
        products={name: np.zeros((1 + a, *shape), np.float32) for name, shape in shapes.items()},
        squares={name: np.zeros(shape, np.float32) for name, shape in shapes.items()},
    )


def _add_up(
    vgg: VGG,
    dataset: Dataset,
    rows: Int[np.ndarray, " r"],
    begun: FittedDataset,
    *,
    on_progress: OnProgress | None,
) -> Iterator[FittedDataset]:
    """Yields the sums after every `CHECKPOINT` images and at the end."""
    origin, done = begun.origin, len(begun.scores)
    mesh = devices.make_mesh(jax.local_device_count())
    vgg, total = devices.replicate((vgg, (begun.products, begun.squares)), mesh)
    length = BATCH * mesh.size
    scores = np.clip(dataset.scores[rows], -LARGEST_SCORE, LARGEST_SCORE).astype(np.float32)
    add = partial(_add, pool_rounding=origin.pool_rounding, normalization=origin.normalization)
    for faces in dataset.batches(rows[done:], size=origin.size, batch=length):
        batch = prepare_images(faces, origin.preparation, vgg.preprocess.mean_rgb)
        n = len(batch)
        images = np.zeros((length, *batch.shape[1:]), np.float32)
        design = np.zeros((length, 1 + scores.shape[1]), np.float32)
        images[:n], design[:n, 0], design[:n, 1:] = batch, 1, scores[done : done + n]
        images, design = devices.shard((images, design), mesh)
        total = add(vgg, total, images, design)
        before, done = done, done + n
        if on_progress is not None:
            on_progress(Progress(phase="attribute fit", done=done, total=len(rows), unit="images"))
        if done == len(rows) or done // CHECKPOINT > before // CHECKPOINT:
            products, squares = jax.tree.map(np.array, total)
            yield FittedDataset(
                origin=origin, scores=scores[:done], products=products, squares=squares
            )


@partial(jax.jit, static_argnames=("pool_rounding", "normalization"), donate_argnums=1)
def _add(
    vgg: VGG,
    total: tuple[Features, Features],
    images: Float[Array, "n h w 3"],
    design: Float[Array, "n _"],
    *,
    pool_rounding: PoolRounding,
    normalization: L2 | None,
) -> tuple[Features, Features]:
    """Returns the sums with a batch added. A row of zeros in the design adds nothing."""
    products, squares = total
    phi = features(vgg, images, layers=tuple(products), pool_rounding=pool_rounding)
    if normalization is not None:
        phi = normalization.normalize(phi)
    # By default, a GPU would multiply with TF32's ten bits of mantissa.
    add_up = partial(jnp.tensordot, axes=1, precision="highest")
    return (
        {name: products[name] + add_up(design.T, phi[name]) for name in products},
        {name: squares[name] + add_up(design[:, 0], jnp.square(phi[name])) for name in squares},
    )
