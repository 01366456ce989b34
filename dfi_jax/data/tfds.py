"""Datasets prepared by TensorFlow Datasets (TFDS): `celeb_a`, `lfw` and `lfw_attributes`.

`lfw_attributes` is this package's own: LFW with its attribute scores. All three are read from
ArrayRecord files, without TensorFlow. TFDS keeps them in DATA_DIR/NAME/VERSION. DATA_DIR is the
environment variable TFDS_DATA_DIR, or `~/tensorflow_datasets` if that isn't set. Nothing is
downloaded here.

The datasets are prepared as follows:

- `celeb_a`: `tfds.builder("celeb_a", file_format="array_record").download_and_prepare()`
- `lfw`: The same, but TFDS's code for it needs TensorFlow. Its images are the original ones, which
  aren't aligned, and it has no scores.
- `lfw_attributes`: `prepare`.

Records are parsed here rather than by TFDS, and images aren't decoded until they are read. That
takes 63 µs for a record of `celeb_a`, and TFDS takes 530 µs (20,000 records on two CPU cores). For
all of CelebA it is 13 s instead of 107 s.

Reference: https://www.tensorflow.org/datasets/data_source
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from dfi_jax.data import celeba, lfw
from dfi_jax.data.dataset import Dataset
from dfi_jax.data.layout import require
from dfi_jax.errors import FileError, InputError
from dfi_jax.photo.placement import Box
from dfi_jax.storage.files import user_path

RECORDS_AT_ONCE = 256
"""Number of records that are read at a time for their scores."""

Record = Mapping[str, Any]
"""The contents of a record: a `tf.train.Feature` for each name."""


@dataclass(frozen=True, kw_only=True)
class _Schema:
    """How the facts about an image are found in its record.

    Attributes:
      attributes: Names of the attributes.
      scores: Function that returns a score for each attribute.
      person: Function that returns the person in the image, or None if records don't hold that.
      name: Function that returns the name of the image, or None if records have no names.
      points: Function that returns the landmarks as ten numbers, or None if records have none.
      crop: Box of the face if there are no landmarks.
    """

    attributes: tuple[str, ...]
    scores: Callable[[Record], Sequence[float]]
    person: Callable[[Record], Any] | None
    name: Callable[[Record], str] | None = None
    points: Callable[[Record], Sequence[float]] | None = None
    crop: Box | None = None


def load(name: str, *, data_dir: Path | None = None) -> Dataset:
    """Loads all splits of a prepared dataset, one after another in TFDS's order.

    Images are named by their split and number, such as `train/123`. The images of `lfw_attributes`
    have the names of LFW's files. Call it as `load("celeb_a")`.

    Args:
      name: Name of the dataset, `celeb_a`, `lfw` or `lfw_attributes`.
      data_dir: Folder in which TFDS keeps its datasets. None stands for the usual one.

    Raises:
      InputError: If the dataset has another name.
      FileError: If the extra `tfds` isn't installed, or the dataset isn't prepared, is prepared in
        a format other than ArrayRecord, or is damaged.
    """
    if name not in _SCHEMAS:
        raise InputError(
            f"the dataset tfds:{name} is not known; choose from {', '.join(_SCHEMAS)}."
        )
    tfds = _import_tfds()
    folder = _latest_version(name, data_dir)
    with _readable(f"{folder}/dataset_info.json"):
        builder = tfds.builder_from_directory(folder)
    if not builder.info.splits:
        raise FileError(f"{folder}/dataset_info.json names no splits; prepare the dataset again.")
    try:
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        records = builder.as_data_source("all", deserialize_method=raw)
    except (NotImplementedError, ValueError):
        raise FileError(
            f"{builder.data_dir} is prepared as {builder.info.file_format.value}, not as "
            f"ArrayRecord; {_how_to_prepare(name)}."
        ) from None
    with _readable(builder.info.full_name):
        schema = _SCHEMAS[name](builder.info)
        return _scan(name, records, _positions(builder.info), schema)


def prepare(manual_dir: Path, *, data_dir: Path | None = None) -> Path:
    """Prepares `lfw_attributes` as ArrayRecord, for `load` and for every pipeline that reads TFDS.

    Call it as `prepare(Path("LFW"))`.

    Args:
      manual_dir: Folder that holds `lfw_attributes.txt` and the folder `lfw-deepfunneled`, as for
        `lfw.load`.
      data_dir: Folder in which TFDS keeps its datasets. None stands for the usual one.

    Returns:
      The path of the prepared dataset, which is in `data_dir`.

    Raises:
      FileError: If the extra `tfds` isn't installed, `manual_dir` doesn't hold what `lfw.load`
        needs, an image can't be read, or the dataset can't be written or already exists.
    """
    tfds = _import_tfds()
    from dfi_jax.data.lfw_attributes import LfwAttributes

    # TFDS itself fails with an assertion if the folder doesn't exist or is empty.
    require(manual_dir, lfw.TABLE)
    root = _data_dir(data_dir)
    try:
        builder = LfwAttributes(data_dir=root, file_format="array_record")
        folder = Path(builder.data_dir)
        if folder.exists():
            raise FileError(f"{folder} already exists; delete it to prepare the dataset again.")
        # TFDS reports a download, although there is none, and needs a folder for it.
        with contextlib.redirect_stdout(None), tempfile.TemporaryDirectory() as downloads:
            config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
            builder.download_and_prepare(download_dir=downloads, download_config=config)
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{root} can't be written ({error.strerror or error}); choose another folder."
        ) from None
    return folder


def _import_tfds() -> Any:
    try:
        import array_record.python.array_record_data_source  # noqa: F401
        import tensorflow_datasets
    except ImportError as error:
        raise FileError(
            f"TensorFlow Datasets can't be imported ({error}); install it with "
            f"`pip install 'dfi-jax[tfds]'`, or in a clone with `pip install '.[tfds]'`."
        ) from None
    return tensorflow_datasets


def _data_dir(data_dir: Path | None) -> Path:
    return user_path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def _latest_version(name: str, data_dir: Path | None) -> Path:
    """Returns the folder of the latest version of a dataset."""
    root = _data_dir(data_dir) / name
    versions = {_version(path.parent): path.parent for path in root.glob("*/dataset_info.json")}
    if versions:
        return versions[max(versions)]
    for nearby in root.resolve().parents[1:3]:
        if any(nearby.glob(f"{name}/*/dataset_info.json")):
            raise FileError(
                f"{root.parent} holds no {name}; give {nearby}, which holds it, as data_dir or in "
                f"the environment variable TFDS_DATA_DIR."
            )
    raise FileError(
        f"{root} holds no prepared dataset; give the folder of TFDS's datasets that holds {name} "
        f"as data_dir or in the environment variable TFDS_DATA_DIR, or {_how_to_prepare(name)}."
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in folder.name.split("."))


def _how_to_prepare(name: str) -> str:
    if name == "lfw_attributes":
        return "prepare it with dfi_jax.data.tfds.prepare(manual_dir, data_dir=data_dir)"
    builder = f'tensorflow_datasets.builder("{name}", file_format="array_record")'
    needs = ", which needs TensorFlow" if name == "lfw" else ""
    return f"prepare it with {builder}.download_and_prepare(){needs}"


def _positions(info: Any) -> tuple[str, ...]:
    """Returns the split and number of each record, such as `train/123`."""
    return tuple(
        f"{name}/{i}" for name, split in info.splits.items() for i in range(split.num_examples)
    )


def _scan(name: str, records: Any, positions: tuple[str, ...], schema: _Schema) -> Dataset:
    """Reads all records once, for everything but their images."""
    scores = np.empty((len(records), len(schema.attributes)), np.float32)
    points = np.empty((len(records), 10), np.float32)
    people, names = [], []
    for row, record in enumerate(_parsed(records)):
        scores[row] = schema.scores(record)
        if schema.points:
            points[row] = schema.points(record)
        if schema.person:
            people.append(schema.person(record))
        if schema.name:
            names.append(schema.name(record))
    return Dataset(
        name=f"tfds:{name}",
        names=tuple(names) if schema.name else positions,
        read=partial(_read_image, records, positions),
        attributes=schema.attributes,
        scores=scores,
        people=np.asarray(people) if schema.person else None,
        landmarks=points.reshape(-1, 5, 2) if schema.points else None,
        crop=schema.crop,
    )


def _parsed(records: Any) -> Iterator[Record]:
    for first in range(0, len(records), RECORDS_AT_ONCE):
        rows = range(first, min(first + RECORDS_AT_ONCE, len(records)))
        for record in records.__getitems__(rows):
            yield _parse(record)


def _parse(record: bytes) -> Record:
    from tensorflow_datasets.proto import tf_example_pb2

    parsed: Record = tf_example_pb2.Example.FromString(record).features.feature
    return parsed


def _read_image(records: Any, positions: tuple[str, ...], index: int) -> Float[np.ndarray, "h w 3"]:
    with _readable(f"{positions[index]} of {records.dataset_info.full_name}"):
        data = _parse(records[index])["image"].bytes_list.value[0]
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"), np.float32) / 255


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turns the errors of reading damaged files into a FileError."""
    try:
        yield
    except Exception as error:  # TFDS doesn't check what its files hold.
        raise FileError(f"{name} can't be read ({error}); prepare the dataset again.") from None


def _text(record: Record, key: str) -> str:
    text: str = record[key].bytes_list.value[0].decode()
    return text


def _integer(record: Record, key: str) -> int:
    value: int = record[key].int64_list.value[0]
    return value


def _celeb_a(info: Any) -> _Schema:
    # The published order is alphabetical. TFDS's files keep no order.
    names = tuple(sorted(info.features["attributes"]))
    keys = [f"attributes/{name}" for name in names]
    points = [f"landmarks/{point}_{axis}" for point in celeba.POINTS for axis in "xy"]
    # Versions before 2.1.0 don't hold identities.
    has_people = "identity" in info.features
    return _Schema(
        attributes=names,
        scores=lambda record: [2 * _integer(record, key) - 1 for key in keys],
        person=partial(_integer, key="identity/Identity_No") if has_people else None,
        points=lambda record: [_integer(record, key) for key in points],
    )


def _lfw(info: Any) -> _Schema:
    return _Schema(
        attributes=(),
        scores=lambda record: (),
        person=partial(_text, key="label"),
        crop=lfw.CROP,
    )


def _lfw_attributes(info: Any) -> _Schema:
    attributes = info.metadata["attributes"]
    named = isinstance(attributes, list) and all(isinstance(name, str) for name in attributes)
    if not named or len(set(attributes)) < len(attributes):
        raise ValueError(f"its attributes are {attributes!r}")
    return _Schema(
        attributes=tuple(attributes),
        scores=lambda record: record["attributes"].float_list.value,
        person=partial(_text, key="person"),
        name=partial(_text, key="file_name"),
        crop=lfw.CROP,
    )


_SCHEMAS: dict[str, Callable[[Any], _Schema]] = {
    "celeb_a": _celeb_a,
    "lfw": _lfw,
    "lfw_attributes": _lfw_attributes,
}
