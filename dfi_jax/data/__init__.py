"""Where images and their attribute scores come from, and which of them are selected."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from dfi_jax.data import celeba, folders, lfw, near, synthetic, tfds
from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import FileError, InputError
from dfi_jax.storage.files import exists, user_path

__all__ = ["SPECS", "Dataset", "load_dataset", "near"]

SPECS = (
    "lfw:DIR, celeba:DIR, tfds:NAME, pair:WITHOUT:WITH, folder:DIR, synthetic:N or "
    "crop:X0,Y0,X1,Y1:SPEC (another of these, with this box as the face in every image)"
)
"""The forms of text that `load_dataset` accepts."""

LONGEST = 10_000
"""Maximum number of characters of such a text. File systems allow paths of 4096 bytes."""

LONGEST_NUMBER = 1000
"""Maximum number of digits of a number in such a text."""


def load_dataset(spec: str, *, folder: str | Path = "") -> Dataset:
    """Loads the dataset that a text names.

    - `lfw:DIR`: Labeled Faces in the Wild. DIR holds `lfw_attributes.txt` and `lfw-deepfunneled`.
    - `celeba:DIR`: CelebA. DIR holds `list_attr_celeba.txt` and `img_align_celeba`.
    - `tfds:NAME`: `celeb_a`, `lfw` or `lfw_attributes`, as prepared by TensorFlow Datasets.
    - `pair:WITHOUT:WITH`: Two folders of images, without and with an attribute, which is called
      `Target`. Text files of paths, one per line, can replace the folders.
    - `folder:DIR`: Images and a table of their scores, `DIR/scores.csv`.
    - `synthetic:N`: N drawn faces of people who don't exist. `synthetic:N:SEED` draws others, and
      `synthetic:N:SEED:SIZE` draws them so that the face's crop has another size than 200 pixels.
    - `crop:X0,Y0,X1,Y1:SPEC`: The dataset of another of these texts, with this box of pixels as
      the face in every image, in place of the dataset's own crop or landmarks.

    >>> len(load_dataset("synthetic:3"))
    3
    >>> load_dataset("crop:10,10,90,90:synthetic:3").crop
    (10, 10, 90, 90)

    Args:
      spec: The text.
      folder: Folder that relative paths in the text start from, by default the current folder.

    Raises:
      InputError: If the text has another form, names an unknown TFDS dataset, asks for 0 images, or
        has a box that is empty.
      FileError: If a file or folder that it names doesn't exist or can't be read.
    """
    if not isinstance(spec, str):
        raise InputError(f"the dataset is {spec!r}; give a text, such as 'lfw:DIR'.")
    if len(spec) > LONGEST:
        raise InputError(
            f"the dataset is a text of {len(spec)} characters; give one of at most {LONGEST}."
        )
    kind, _, rest = spec.partition(":")
    if kind not in _LOADERS or not rest:
        raise InputError(f"the dataset {spec!r} isn't of a known kind; give {SPECS}.")
    try:
        return _LOADERS[kind](rest, Path(folder))
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"the dataset {spec!r} can't be read ({error.strerror}); check its path and "
            f"permissions."
        ) from None


def _load_cropped(rest: str, folder: Path) -> Dataset:
    box, _, spec = rest.partition(":")
    if spec.startswith("crop:"):
        raise InputError(f"the dataset crop:{rest} has a crop inside a crop; give one of them.")
    try:
        x0, y0, x1, y1 = map(int, box.split(","))
        if not (x0 < x1 and y0 < y1):
            raise ValueError
    except ValueError:
        raise InputError(
            f"the crop {box!r} isn't a box; give X0,Y0,X1,Y1 in whole pixels with X0 < X1 and "
            f"Y0 < Y1."
        ) from None
    dataset = load_dataset(spec, folder=folder)
    return dataclasses.replace(dataset, crop=(x0, y0, x1, y1), landmarks=None)


def _load_pair(rest: str, folder: Path) -> Dataset:
    pieces = rest.split(":")
    halves = [(":".join(pieces[:i]), ":".join(pieces[i:])) for i in range(1, len(pieces))]
    pairs = [tuple(folder / user_path(path) for path in half) for half in halves if all(half)]
    if not pairs:
        raise InputError(
            f"pair:{rest} doesn't name two folders or lists; give two, as pair:WITHOUT:WITH."
        )
    # A name may have a colon itself, so the names of what exists are preferred.
    existing = [pair for pair in pairs if all(map(exists, pair))]
    without, with_ = (existing or pairs)[0]
    return folders.load_pair(without, with_)


def _load_synthetic(rest: str, _: Path) -> Dataset:
    numbers = rest.split(":")
    # Python reads no integer of thousands of digits.
    if len(numbers) > 3 or not all(n.isdecimal() and len(n) < LONGEST_NUMBER for n in numbers):
        raise InputError(
            f"synthetic:{rest} doesn't have the form synthetic:N, synthetic:N:SEED or "
            f"synthetic:N:SEED:SIZE; give whole numbers."
        )
    names = ("n", "seed", "size")
    return synthetic.load(**dict(zip(names, map(int, numbers), strict=False)))


_LOADERS: dict[str, Callable[[str, Path], Dataset]] = {
    "lfw": lambda rest, folder: lfw.load(folder / user_path(rest)),
    "celeba": lambda rest, folder: celeba.load(folder / user_path(rest)),
    "tfds": lambda rest, _: tfds.load(rest),
    "pair": _load_pair,
    "folder": lambda rest, folder: folders.load_table(folder / user_path(rest)),
    "synthetic": _load_synthetic,
    "crop": _load_cropped,
}
