"""Datasets that TensorFlow Datasets (TFDS) prepared: `celeb_a`, `lfw`, and this package's own `lfw_attributes`.

They are read from ArrayRecord files, without TensorFlow. TFDS keeps them in DATA_DIR/NAME/VERSION, where DATA_DIR is
the environment variable TFDS_DATA_DIR or else ~/tensorflow_datasets. Nothing is downloaded here:

- `celeb_a`: `tfds.builder("celeb_a", file_format="array_record").download_and_prepare()`
- `lfw`: the same, where TensorFlow is installed, which TFDS's code for it needs; its images are the original ones, not
  aligned, and it has no scores
- `lfw_attributes`: `prepare`

Records are parsed here rather than by TFDS, and no image is decoded for what is known of it: a record of `celeb_a`
takes 63 µs so and 530 µs by TFDS (20,000 made by its code, two CPU cores), or 13 seconds for all of CelebA and 107.

Reference: https://www.tensorflow.org/datasets/data_source
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax import image
from dfi_jax.data import celeba, lfw
from dfi_jax.data.dataset import Dataset, require
from dfi_jax.errors import FileError, InputError
from dfi_jax.files import user_path

SCANNED = 256
"""Records that are read at a time for what is known of the images."""

Features = Mapping[str, Any]
"""What a record holds, by the features' names, as `tf.train.Feature`s."""


class _Known(NamedTuple):
    """How to find in a record what is known of its image.

    Attributes:
      attributes: the columns of scores.
      scores: of a record, one an attribute.
      person: of a record.
      name: of a record, of the dataset and no two alike; None where they have none.
      points: of a record, as ten numbers.
      crop: of the face, where there are no points.
    """

    attributes: tuple[str, ...]
    scores: Callable[[Features], Sequence[float]]
    person: Callable[[Features], Any] | None
    name: Callable[[Features], str] | None = None
    points: Callable[[Features], Sequence[float]] | None = None
    crop: image.Box | None = None


def load(name: str, *, data_dir: Path | None = None) -> Dataset:
    """All splits of a prepared dataset, one after the other in TFDS's order.

    Images are named by split and number, as `train/123`, and those of `lfw_attributes` as LFW's files.

    Args:
      name: `celeb_a`, `lfw` or `lfw_attributes`.
      data_dir: the folder in which TFDS keeps its datasets, if not the usual one.

    Raises:
      InputError: for another name.
      FileError: where the extra `tfds` is missing, or the dataset isn't prepared, not as ArrayRecord, or is damaged.
    """
    if name not in _KNOWN:
        raise InputError(f"the dataset tfds:{name} is not known; choose from {', '.join(_KNOWN)}.")
    tfds = _package()
    folder = _folder(name, data_dir)
    with _readable(f"{folder}/dataset_info.json"):
        builder = tfds.builder_from_directory(folder)
    try:
        records = builder.as_data_source("all", deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    except (NotImplementedError, ValueError):
        raise FileError(
            f"{builder.data_dir} is prepared as {builder.info.file_format.value}; {_how_to_prepare(name)}."
        ) from None
    with _readable(builder.info.full_name):
        return _scan(name, records, _places(builder.info), _KNOWN[name](builder.info))


def prepare(manual_dir: Path, data_dir: Path | None = None) -> Path:
    """Prepares `lfw_attributes` as ArrayRecord, for `load` and for any pipeline that reads TFDS's datasets.

    Args:
      manual_dir: the folder with `lfw_attributes.txt` and the folder `lfw-deepfunneled`, as for `lfw.load`.
      data_dir: the folder in which TFDS keeps its datasets, if not the usual one.

    Returns:
      The folder of the dataset, in `data_dir`.

    Raises:
      FileError: where the extra `tfds` is missing, `manual_dir` is not as `lfw.load` wants it, an image can't be read,
        or the dataset can't be written or is there already.
    """
    tfds = _package()
    from dfi_jax.data.lfw_attributes import LfwAttributes

    require(manual_dir, lfw.TABLE)  # TFDS asks for a folder that isn't empty, with an assertion
    data_dir = _data_dir(data_dir)
    try:
        builder = LfwAttributes(data_dir=data_dir, file_format="array_record")
        folder = Path(builder.data_dir)
        if folder.exists():
            raise FileError(f"{folder} is there already; remove it to prepare the dataset again.")
        # TFDS says that it downloads, which it doesn't, and wants a folder for it
        with contextlib.redirect_stdout(None), tempfile.TemporaryDirectory() as downloads:
            config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
            builder.download_and_prepare(download_dir=downloads, download_config=config)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{data_dir} can't be written ({error.strerror or error}); choose another folder.") from None
    return folder


def _package() -> Any:
    try:
        import array_record.python.array_record_data_source  # noqa: F401
        import tensorflow_datasets
    except ImportError as error:
        raise FileError(f"TensorFlow Datasets can't be imported ({error}); install it by pip install 'dfi-jax[tfds]'."
                        ) from None  # fmt: skip
    return tensorflow_datasets


def _data_dir(data_dir: Path | None) -> Path:
    return user_path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _folder(name: str, data_dir: Path | None) -> Path:
    """The folder of a dataset's latest version."""
    root = _data_dir(data_dir) / name
    versions = {_version(path.parent): path.parent for path in root.glob("*/dataset_info.json")}
    if not versions:
        near = root.resolve().parents[1:3]
        if other := next((folder for folder in near if any(folder.glob(f"{name}/*/dataset_info.json"))), None):
            raise FileError(f"{root.parent} holds no {name}; {other} does, give that folder as data_dir or in the "
                            f"environment variable TFDS_DATA_DIR.")  # fmt: skip
        raise FileError(f"{root} holds no prepared dataset; give the folder of TFDS's datasets that holds {name} as "
                        f"data_dir or in the environment variable TFDS_DATA_DIR, or {_how_to_prepare(name)}."
                        )  # fmt: skip
    return versions[max(versions)]


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in folder.name.split("."))


def _how_to_prepare(name: str) -> str:
    if name == "lfw_attributes":
        return "prepare it by dfi_jax.data.tfds.prepare(manual_dir, data_dir)"
    call = f'tensorflow_datasets.builder("{name}", file_format="array_record").download_and_prepare()'
    return f"prepare it by {call}{', which needs TensorFlow' if name == 'lfw' else ''}"


def _places(info: Any) -> tuple[str, ...]:
    return tuple(f"{name}/{i}" for name, split in info.splits.items() for i in range(split.num_examples))


def _scan(name: str, records: Any, places: tuple[str, ...], known: _Known) -> Dataset:
    """The dataset of some records, all of which are read once for what is known of them."""
    scores = np.empty((len(records), len(known.attributes)), np.float32)
    points = np.empty((len(records), 10), np.float32)
    people, names = [], []
    for row, features in enumerate(_each(records)):
        scores[row] = known.scores(features)
        if known.points:
            points[row] = known.points(features)
        if known.person:
            people.append(known.person(features))
        if known.name:
            names.append(known.name(features))
    return Dataset(
        name=f"tfds:{name}",
        names=tuple(names) if known.name else places,
        read=partial(_read_image, records, places),
        attributes=known.attributes,
        scores=scores,
        people=np.asarray(people) if known.person else None,
        landmarks=points.reshape(-1, 5, 2) if known.points else None,
        crop=known.crop,
    )


def _each(records: Any) -> Iterator[Features]:
    for first in range(0, len(records), SCANNED):
        for record in records.__getitems__(range(first, min(first + SCANNED, len(records)))):
            yield _features(record)


def _features(record: bytes) -> Features:
    from tensorflow_datasets.proto import tf_example_pb2

    features: Features = tf_example_pb2.Example.FromString(record).features.feature
    return features


def _read_image(records: Any, places: tuple[str, ...], index: int) -> Float[np.ndarray, "h w 3"]:
    with _readable(f"{places[index]} of {records.dataset_info.full_name}"):
        data = _features(records[index])["image"].bytes_list.value[0]
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"), np.float32) / 255


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    from google.protobuf.json_format import ParseError
    from google.protobuf.message import DecodeError

    try:
        yield
    except (OSError, ValueError, LookupError, RuntimeError, DecodeError, ParseError) as error:
        raise FileError(f"{what} can't be read ({error}); prepare the dataset again.") from None


def _text(features: Features, key: str) -> str:
    text: str = features[key].bytes_list.value[0].decode()
    return text


def _integer(features: Features, key: str) -> int:
    value: int = features[key].int64_list.value[0]
    return value


def _celeb_a(info: Any) -> _Known:
    names = tuple(sorted(info.features["attributes"]))  # as published; TFDS's files keep no order
    keys = [f"attributes/{name}" for name in names]
    points = [f"landmarks/{point}_{axis}" for point in celeba.POINTS for axis in "xy"]
    return _Known(
        attributes=names,
        scores=lambda features: [2 * _integer(features, key) - 1 for key in keys],
        # the versions before 2.1.0 have none
        person=partial(_integer, key="identity/Identity_No") if "identity" in info.features else None,
        points=lambda features: [_integer(features, key) for key in points],
    )


def _lfw(info: Any) -> _Known:
    return _Known((), scores=lambda features: (), person=partial(_text, key="label"), crop=lfw.CROP)


def _lfw_attributes(info: Any) -> _Known:
    return _Known(
        attributes=tuple(info.metadata["attributes"]),
        scores=lambda features: features["attributes"].float_list.value,
        person=partial(_text, key="person"),
        name=partial(_text, key="file_name"),
        crop=lfw.CROP,
    )


_KNOWN: dict[str, Callable[[Any], _Known]] = {"celeb_a": _celeb_a, "lfw": _lfw, "lfw_attributes": _lfw_attributes}
