"""The lines of a manifest.

The fields of a line are named like the fields of `Job`. `photo` and `attribute` are required. An
attribute is text, as in `AttributeLike`, or the path of a vector's file. A dataset, a rule and a
nearness are text, as on the command line. Paths are relative to the manifest, also those in a
dataset's text, or to the current folder if the manifest comes through a pipe.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.near import Nearness
from dfi_jax.data.near import parse as parse_near
from dfi_jax.data.rule import Rule
from dfi_jax.editor.job import Job, is_vector_file, load_optional_dataset, resolve_rule
from dfi_jax.errors import DfiError, InputError, one_line
from dfi_jax.photo.choice import FaceLike, parse_face
from dfi_jax.storage.files import user_path
from dfi_jax.storage.text import base_folder, read_lines
from dfi_jax.vectors.fitted import FittedDataset

FIELDS: dict[str, tuple[type, ...]] = {
    "photo": (str,),
    "attribute": (str,),
    "alphas": (list,),
    "face": (str, int, list),
    "points": (int,),
    "warp": (bool,),
    "mask": (str,),
    "finer": (list,),
    "dataset": (str,),
    "rule": (str,),
    "near": (str,),
    "k": (int,),
    "name": (str,),
}
"""The fields of a line, and the types that each accepts."""

_KINDS = {str: "text", int: "a number", list: "a list", bool: "true or false"}


def read_manifest(
    path: Path,
    *,
    dataset: Dataset | FittedDataset | None = None,
    rule: Rule | str = "default",
    near: Nearness | None = None,
    k: int | None = None,
    points: Literal[5, 68] = 5,
    warp: bool = False,
) -> list[Job]:
    """Returns the jobs of a manifest.

    Args:
      path: The manifest.
      dataset: The dataset for all jobs whose line has none. The datasets of lines are loaded once
        each; an empty text stands for no dataset.
      rule: The rule by which images are selected, for all jobs with a dataset whose line has none.
      near: The nearness for the same jobs, if it isn't the rule's.
      k: Maximum number of images per set for the same jobs, if it isn't the rule's.
      points: Number of landmarks that detected faces are aligned by, for lines without one.
      warp: Whether faces are warped to the average face, for lines that don't say.

    Raises:
      FileError: If the manifest can't be read.
      InputError: If a line is invalid, in which case the message has its number, if there are no
        lines, if two jobs have the same name, or if no job with a dataset uses `rule`, `near` or
        `k`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = Path(folder, "jobs.jsonl")
    ...     _ = manifest.write_text('{"photo": "me.jpg", "attribute": "older"}')
    ...     [job.label for job in read_manifest(manifest)]
    ['me-older']
    """
    shared: dict[str, Any] = {
        "dataset": dataset,
        "rule": rule,
        "near": near,
        "k": k,
        "points": points,
        "warp": warp,
    }
    # Thousands of lines may name the same dataset.
    folder = base_folder(path)
    load = cache(partial(load_optional_dataset, folder=folder))
    jobs = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            try:
                jobs.append(_parse_line(line, folder, shared, load))
            except DfiError as error:
                raise type(error)(f"{path}, line {number}: {error}") from None
    if not jobs:
        raise InputError(f"{path} is empty; write a line for each photo.")
    if all(job.dataset is None for job in jobs):
        resolve_rule(None, rule=rule, near=near, k=k)
    for label, times in Counter(job.label for job in jobs).items():
        if times > 1:
            raise InputError(
                f"{path} has {times} jobs with the name {label}; give each a `name` of its own."
            )
    folders: dict[str, str] = {}
    for job in jobs:
        other = folders.setdefault(_folder(job.label), job.label)
        if other != job.label:
            raise InputError(
                f"{path} has jobs with the names {other} and {job.label}, which are the same "
                f"folder on some computers; give one of them another `name`."
            )
    return jobs


def _folder(label: str) -> str:
    """Returns a text that is the same for the names of what may be the same folder."""
    return unicodedata.normalize("NFC", label).casefold().rstrip(". ")


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of a line, in which no field may be twice."""
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise InputError(f"the field {name!r} is given twice; give it once.")
    return dict(pairs)


def _parse_line(
    line: str,
    folder: Path,
    shared: dict[str, Any],
    load: Callable[[str], Dataset | FittedDataset | None],
) -> Job:
    try:
        values = json.loads(line, object_pairs_hook=_fields)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it isn't JSON ({error}); correct the line.") from None
    if not isinstance(values, dict):
        raise InputError('give an object, such as {"photo": "me.jpg", "attribute": "older"}.')
    for key, value in values.items():
        if key not in FIELDS:
            raise InputError(f"the field {key!r} is unknown; use {', '.join(FIELDS)}.")
        if type(value) not in FIELDS[key]:
            kinds = " or ".join(_KINDS[kind] for kind in FIELDS[key])
            raise InputError(f"{key} is {value!r}; give {kinds}.")
    if not values.get("photo") or not values.get("attribute"):
        raise InputError("photo or attribute is missing; give both.")
    if values.get("mask") == "":
        raise InputError("mask is empty; give an image, or leave the field out.")
    own = ("points", "warp", "rule", "k")
    options = shared | {name: values[name] for name in own if name in values}
    if options["points"] not in (5, 68):
        raise InputError(f"points is {options['points']}; give 5 or 68.")
    if "near" in values:
        options["near"] = parse_near(values["near"])
    if "alphas" in values:
        if not all(isinstance(a, int | float) and type(a) is not bool for a in values["alphas"]):
            raise InputError(f"alphas is {values['alphas']}; give a list of numbers.")
        try:
            options["alphas"] = tuple(float(alpha) for alpha in values["alphas"])
        except OverflowError:
            raise InputError("alphas has a number that is too large; give a smaller one.") from None
    if "face" in values:
        options["face"] = _parse_face(values["face"])
    if "dataset" in values:
        options["dataset"] = load(values["dataset"])
    if options["dataset"] is None:
        for name in ("rule", "near", "k"):
            if name not in values:
                del options[name]
    if "mask" in values:
        options["mask"] = folder / user_path(values["mask"])
    if "finer" in values:
        if not all(isinstance(path, str) and path for path in values["finer"]):
            raise InputError(f"finer is {values['finer']}; give a list of vectors' files.")
        options["finer"] = tuple(folder / user_path(path) for path in values["finer"])
    attribute = values["attribute"]
    if is_vector_file(attribute):
        attribute = folder / user_path(attribute)
    job = Job(
        photo=folder / user_path(values["photo"]),
        attribute=attribute,
        name=values.get("name", ""),
        **options,
    )
    named = job.label == Path(job.label).name and job.label not in ("", ".", "..")
    # A name that can't be shown, such as one with NUL, can't be that of a folder either.
    if not named or one_line(job.label) != job.label:
        raise InputError(f"name is {job.label!r}; give the name of a folder.")
    return job


def _parse_face(value: str | int | list[Any]) -> FaceLike:
    if isinstance(value, list):
        if len(value) != 4 or not all(type(edge) is int for edge in value):
            raise InputError(f"face is {value}; give a box as four integers, [x0, y0, x1, y1].")
        x0, y0, x1, y1 = value
        return x0, y0, x1, y1
    if isinstance(value, int):
        value = str(value)
    return parse_face(value)
