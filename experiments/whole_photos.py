"""Photos that are edited whole: their origin, the face in each, and the mask.

`high_resolution.py` edits them.
"""

from dataclasses import dataclass
from pathlib import Path

import judged_edits
import matplotlib.cbook
import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax import Dataset, InputError, Placement
from dfi_jax.data import synthetic
from dfi_jax.data.wanted import find_attribute
from dfi_jax.photo import faces
from dfi_jax.photo.image import resize
from dfi_jax.photo.photo import read, write

Pixels = Float[np.ndarray, "h w 3"]

SHORTEST, LONGEST = 200, 1000
"""Limits of a photo's shorter and longer side. Other photos are resized."""

MAN = {"Male": 1, "Smiling": -1, "No Beard": 1, "Young": 1, "Wearing Hat": -1}
"""Signs of the scores of the subject `man`, to whom all edits apply."""

CERTAIN = 1.0
"""Smallest distance of his scores from 0. Of men with scores nearer to 0, many wear caps or are
bearded."""

ASTRONAUT = slice(25, 425)
"""Columns of the astronaut's photo that are edited, so that it isn't square."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A photo that is edited.

    Attributes:
      name: Name of the photo.
      pixels: The photo, at the size at which it is edited.
      points: The 68 points of its largest face.
      placement: The canonical crop of this face.
      mask: Where the photo may change, from 0 to 1, or None.
    """

    name: str
    pixels: Pixels
    points: Float[np.ndarray, "68 2"]
    placement: Placement
    mask: Pixels | None

    @classmethod
    def open(cls, path: Path) -> "Subject":
        """Opens a photo and the mask beside it, and finds its largest face."""
        pixels = fit_limits(read(path))
        found = faces.detect(pixels, points=68)
        if not found:
            raise InputError(f"no face was detected in {path}; give another photo.")
        return cls(
            name=path.stem,
            pixels=pixels,
            points=found[0].points,
            placement=found[0].placement,
            mask=find_mask(path, pixels.shape[:2]),
        )


def find_man(dataset: Dataset, rows: list[int]) -> int:
    """Returns an image of a man, drawn at random, whose scores have the signs of `MAN`."""
    columns = [find_attribute(name, dataset.attributes) for name in MAN]
    signed = dataset.scores[rows][:, columns] * np.array(list(MAN.values()))
    certain = np.all(signed >= CERTAIN, axis=1)
    some = np.array(rows)[certain].tolist()
    return next(iter(judged_edits.choose_photos(dataset, some, "~No Beard", 1)))


def find_photo(name: str, dataset: Dataset, man: int | None, out: Path) -> Path:
    """Returns the file of a subject, which is written if it is a name."""
    match name:
        case "astronaut":
            import skimage.data

            pixels = skimage.data.astronaut()[:, ASTRONAUT] / 255
        case "hopper":
            file = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
            pixels = read(str(file))
        case "man":
            assert man is not None
            pixels = dataset.read(man)
        case "drawn":
            pixels = synthetic.load(1, seed=1, size=150).read(0)[:, 10:-10]
        case _:
            return Path(name)
    write(out / f"{name}.png", pixels)
    return out / f"{name}.png"


def fit_limits(pixels: Pixels) -> Pixels:
    """Returns a photo whose sides are within the limits, of the same shape.

    >>> fit_limits(np.zeros((100, 150, 3), np.float32)).shape
    (200, 300, 3)
    >>> fit_limits(np.zeros((500, 2000, 3), np.float32)).shape
    (250, 1000, 3)
    """
    height, width = pixels.shape[:2]
    factor = max(1.0, SHORTEST / min(height, width))
    factor = min(factor, LONGEST / max(height, width))
    size = round(factor * height), round(factor * width)
    return resize(pixels, size, resample=Image.Resampling.LANCZOS).clip(0, 1)


def find_mask(path: Path, size: tuple[int, int]) -> Pixels | None:
    """Returns the mask that lies beside a photo, resized, or None if there is none."""
    beside = path.with_name(f"{path.stem}-mask.png")
    return resize(read(beside), size) if beside.exists() else None
