"""Many edits in one run, from a manifest: JSON lines, each a photograph, an attribute and strengths.

    {"photo": "me.jpg", "attribute": "eyeglasses", "alphas": [0.2, 0.4]}

Every edit has a folder of its own, as `dfi edit` writes it, whose `result.json` comes last; an edit that has one is
done, so a run that was ended goes on where it was when it is started again.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from dfi_jax import edit as editing
from dfi_jax.attribute import AttributeVector
from dfi_jax.edit import Request, check_alphas, check_request, edit_faces
from dfi_jax.errors import DfiError, FileError, InputError
from dfi_jax.recipe import Recipe
from dfi_jax.subject import Subject
from dfi_jax.vgg import VGG

ALPHAS = (0.4,)
"""The strengths of a line that names none."""

BACKLOG = 16
"""Edits that wait to be written, at most: each holds its photographs in memory."""


@dataclass(frozen=True)
class Job:
    """A line of a manifest.

    Attributes:
      photo: the file.
      attribute: what to add, as `dfi edit --attribute` has it.
      alphas: strengths.
      vector: a file with an attribute vector, instead of the starter or the dataset's.
      crop: the face in the photograph, (x0, y0, x1, y1) in pixels.
      name: of the folder of its results.
    """

    photo: Path
    attribute: str
    alphas: tuple[float, ...]
    vector: Path | None
    crop: tuple[int, int, int, int] | None
    name: str

    def about(self) -> dict[str, Any]:
        """What its `result.json` says of it."""
        return {"photograph": self.photo.name, "attribute": self.attribute, "job": self.name}


class Failure(NamedTuple):
    """A job that couldn't be done.

    Attributes:
      job: which.
      reason: why, in a sentence.
    """

    job: Job
    reason: str


def read_manifest(path: Path) -> list[Job]:
    """The jobs of a manifest; paths in it are relative to its folder.

    Raises:
      FileError: where it can't be read.
      InputError: for a line that isn't as it should be, with its number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path} can't be read as a manifest ({error}); give a file of JSON lines.") from None
    jobs = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                jobs.append(_parse(line, path.parent))
            except DfiError as error:
                raise type(error)(f"line {number} of {path}: {error}") from None
    if not jobs:
        raise InputError(f"{path} has no line; write one for each photograph.")
    for name, times in Counter(job.name for job in jobs).items():
        if times > 1:
            raise InputError(f"{path} has {times} jobs called {name}; give each a `name` of its own.")
    return jobs


def _parse(line: str, folder: Path) -> Job:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise InputError(f"it isn't JSON ({error}).") from None
    known = {"photo": str, "attribute": str, "alphas": list, "vector": str, "crop": list, "name": str}
    if not isinstance(values, dict):
        raise InputError('it should be an object, such as {"photo": "me.jpg", "attribute": "older"}.')
    for key, value in values.items():
        if key not in known:
            raise InputError(f"there is no field {key!r}; its fields are {', '.join(known)}.")
        if not isinstance(value, known[key]):
            raise InputError(f"{key} is {value!r}; it should be a {'list' if known[key] is list else 'text'}.")
    if not values.get("photo") or not (values.get("attribute") or values.get("vector")):
        raise InputError("it should name a photo, and an attribute or a vector.")
    alphas, crop = values.get("alphas", ALPHAS), values.get("crop")
    if not all(_is_number(alpha) for alpha in alphas):
        raise InputError(f"alphas is {alphas}; it should be a list of numbers.")
    check_alphas(alphas)
    if crop is not None and (len(crop) != 4 or not all(type(edge) is int for edge in crop)):
        raise InputError(f"crop is {crop}; it should be four whole numbers, [x0, y0, x1, y1].")
    photo = folder / values["photo"]
    vector = folder / values["vector"] if values.get("vector") else None
    attribute = values.get("attribute") or (vector.stem if vector is not None else "")
    name = values.get("name") or f"{photo.stem}-{editing.file_name(attribute)}"
    if name != Path(name).name or name in ("", ".", ".."):
        raise InputError(f"name is {name!r}; it should be the name of a folder.")
    return Job(photo, attribute, tuple(float(alpha) for alpha in alphas), vector, crop and tuple(crop), name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def unfinished(jobs: Sequence[Job], out: Path, *, recipe: Recipe) -> list[Job]:
    """The jobs whose results aren't in the folder yet.

    Raises:
      FileError: where the folder has a job's results that were asked for otherwise.
    """
    left = []
    for job in jobs:
        try:
            made = json.loads((out / job.name / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            left.append(job)
            continue
        wanted = job.about() | {"alphas": list(job.alphas), "recipe": json.loads(recipe.to_json())}
        other = [key for key, value in wanted.items() if made.get(key) != value]
        if other:
            raise FileError(
                f"{out / job.name} has results with another {other[0]} than is asked for; choose another folder, "
                f"or give the job another name."
            )
    return left


def check_files(jobs: Iterable[Job]) -> None:
    """Raises FileError where a photograph or vector isn't there; a process asks it of its own share."""
    for job in jobs:
        for file in (job.photo, job.vector):
            if file is not None and not file.is_file():
                raise FileError(f"{job.name}: {file} is no file; check its path in the manifest.")


def run(
    vgg: VGG,
    jobs: Sequence[Job],
    out: Path,
    *,
    recipe: Recipe,
    find: Callable[[Job], Subject],
    vector: Callable[[Job, Subject], AttributeVector],
    batch_size: int | None = None,
) -> Iterator[Job | Failure]:
    """Does the jobs, those of one attribute after each other, and writes each one's results as it is done.

    Results are written by a thread of their own, one after the other, while the devices go on.

    Args:
      vgg: the network.
      jobs: to do.
      out: the folder for their folders.
      recipe: of all of them.
      find: the photograph of a job, and the face in it.
      vector: its attribute vector.
      batch_size: as for `edit_faces`.

    Yields:
      A job that is done, or a failure; one job's doesn't end the others.
    """
    begun: list[Job] = []
    failures: list[Failure] = []

    def requests() -> Iterable[Request]:
        for job in sorted(jobs, key=lambda job: (str(job.vector), job.attribute, str(job.photo))):
            try:
                subject = find(job)
                request = Request(subject.photograph, vector(job, subject), job.alphas, subject.place)
                check_request(vgg, request, recipe=recipe)
            except DfiError as error:
                failures.append(Failure(job, str(error)))
                continue
            begun.append(job)
            yield request

    waiting: deque[tuple[Job, Future[Any]]] = deque()

    def written() -> Job | Failure:
        job, saving = waiting.popleft()
        try:
            saving.result()
        except DfiError as error:
            return Failure(job, str(error))
        return job

    with ThreadPoolExecutor(max_workers=1) as writer:
        for number, edited in edit_faces(vgg, requests(), recipe=recipe, batch_size=batch_size):
            job = begun[number]
            save = partial(editing.save, out / job.name, edited, vgg=vgg, subject=job.about(), seconds={}, force=True)
            waiting.append((job, writer.submit(save)))
            while waiting and (waiting[0][1].done() or len(waiting) > BACKLOG):
                yield written()
            yield from failures
            failures.clear()
        while waiting:
            yield written()
    yield from failures
