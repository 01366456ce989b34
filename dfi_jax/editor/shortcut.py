"""One photo, edited in one call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.near import Nearness
from dfi_jax.data.rule import Rule
from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import AttributeLike
from dfi_jax.editor.result import Edit
from dfi_jax.network.vgg import VGG
from dfi_jax.photo.choice import FaceLike
from dfi_jax.photo.photo import PhotoLike
from dfi_jax.progress import OnProgress
from dfi_jax.recipe import Recipe
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.fitted import FittedDataset


def edit(
    photo: PhotoLike,
    attribute: AttributeLike,
    *,
    recipe: Recipe | str = "default",
    weights: str | Path | VGG = "vgg16",
    alphas: Sequence[float] | None = None,
    dataset: Dataset | FittedDataset | None = None,
    rule: Rule | str = "default",
    near: Nearness | None = None,
    k: int | None = None,
    face: FaceLike = "auto",
    points: Literal[5, 68] = 5,
    warp: bool = False,
    mask: PhotoLike | None = None,
    finer: Sequence[AttributeVector | str | Path] = (),
    on_progress: OnProgress | None = None,
) -> Edit:
    """Edits one photo.

    To edit several photos, make one `Editor`, which loads the network once.

    Args:
      photo: The photo: a path, a PIL image, or an array of shape (h, w, 3) with uint8 values or
        floats in [0, 1].
      attribute: The attribute to add: one of `starter_names()`, several with strengths, as in
        `eyeglasses,older=0.5`, an attribute of the dataset, or an `AttributeVector` or its file.
        `~` before a name takes the attribute away.
      recipe: The recipe, or its name in `RECIPES`.
      weights: The name of a network, the path of its weights, or a network.
      alphas: The strengths α, each of which gives one edited photo. By default, the usual strength
        of the recipe, which is 1 for `default`.
      dataset: The dataset that the attribute vector is computed from, or None if the attribute is
        an existing vector.
      rule: Rule by which images of the dataset are selected, or its text.
      near: Nearness by which the images are selected, if it isn't the rule's.
      k: Maximum number of images with and without the attribute, if it isn't the rule's.
      face: `auto` (the largest face that is detected), `whole` (the whole photo), n (the n-th
        largest face), a box (x0, y0, x1, y1) in pixels, or a `Placement`.
      points: Number of landmarks that a detected face is aligned by.
      warp: Whether the face is edited in the geometry of the average face, for a turned head.
      mask: An image of the photo's size: white where the photo may change.
      finer: Vectors of the attribute at larger sizes than the recipe's, for a large face.
      on_progress: Function that is called with the progress of every phase.

    Returns:
      The edit: `photos` has a PIL image for each strength, and `save` writes them all.

    Raises:
      InputError: If an argument can't be used, or no face is found.
      FileError: If a file can't be read, or an extra isn't installed.

    >>> import dfi_jax
    >>> face = dfi_jax.load_dataset("synthetic:1").face(0, 200)
    >>> recipe = dfi_jax.Recipe().set({"solver.iterations": "2"})
    >>> edit(face, "eyeglasses", face="whole", recipe=recipe).photos[0].size
    (200, 200)
    """
    return Editor(recipe=recipe, weights=weights).edit(
        photo,
        attribute,
        alphas=alphas,
        dataset=dataset,
        rule=rule,
        near=near,
        k=k,
        face=face,
        points=points,
        warp=warp,
        mask=mask,
        finer=finer,
        on_progress=on_progress,
    )
