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

    The arguments are those of `Editor` and of `Editor.edit`. To edit several photos, make one
    `Editor`, which loads the network once.

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
