"""Where images and their attribute scores come from, and which of them to take."""

from collections.abc import Callable
from pathlib import Path

from dfi_jax.data import celeba, folders, lfw, synthetic, tfds
from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import InputError
from dfi_jax.files import user_path

__all__ = ["Dataset", "load_dataset"]

SPECS = "lfw:DIR, celeba:DIR, tfds:NAME, folders:SOURCE:TARGET, folder:DIR or synthetic:N"
"""What `load_dataset` takes."""


def load_dataset(spec: str) -> Dataset:
    """The dataset that a spec names.

    - `lfw:DIR`: Labeled Faces in the Wild; DIR holds lfw_attributes.txt and lfw-deepfunneled
    - `celeba:DIR`: CelebA; DIR holds list_attr_celeba.txt and img_align_celeba
    - `tfds:NAME`: celeb_a, lfw or lfw_attributes as TensorFlow Datasets has prepared it
    - `folders:SOURCE:TARGET`: two text files of paths, a line each; the attribute is `Target`
    - `folder:DIR`: images and a table of their scores, DIR/scores.csv
    - `synthetic:N`: N drawn faces of people who don't exist; `synthetic:N:SEED` draws others

    Raises:
      InputError: for a spec of another form.
      FileError: where what it names is missing or can't be read.
    """
    kind, _, rest = spec.partition(":")
    if kind not in _LOADERS or not rest:
        raise InputError(f"the dataset {spec!r} is of no known kind; give {SPECS}.")
    return _LOADERS[kind](rest)


def _lists(rest: str) -> Dataset:
    source, _, target = rest.partition(":")
    if not target:
        raise InputError(f"folders:{rest} names one list; give two, as folders:SOURCE:TARGET.")
    return folders.load_lists(_path(source), _path(target))


def _synthetic(rest: str) -> Dataset:
    numbers = rest.split(":")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise InputError(f"synthetic:{rest} should have one number, of images, or two, the second a seed.")
    n, seed = (*map(int, numbers), 0)[:2]
    return synthetic.load(n, seed=seed)


def _path(text: str) -> Path:
    return user_path(text)


_LOADERS: dict[str, Callable[[str], Dataset]] = {
    "lfw": lambda rest: lfw.load(_path(rest)),
    "celeba": lambda rest: celeba.load(_path(rest)),
    "tfds": tfds.load,
    "folders": _lists,
    "folder": lambda rest: folders.load_table(_path(rest)),
    "synthetic": _synthetic,
}
