"""The whole way from a photograph to edited photographs; the command line and the experiments call this."""

import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dfi_jax import attribute, image, postprocess, report
from dfi_jax.attribute import AttributeVector, Provenance
from dfi_jax.errors import FileError, InputError
from dfi_jax.files import replacing
from dfi_jax.problem import Problem, check_network, make_problem
from dfi_jax.recipe import Recipe
from dfi_jax.reconstruct import Progress, Reconstruction, reconstruct, stream, sweep
from dfi_jax.subject import Place, check_face, cut
from dfi_jax.vgg import VGG

RESIDUAL_ITERATIONS, RESIDUAL_EVERY = 600, 20
"""`cancel_residual` chooses among reconstructions of α = 0 after every 20 of 600 iterations, as chainer-dfi does."""

PACKAGES = ("dfi-jax", "jax", "jaxlib", "flax", "optax", "numpy", "pillow")
"""Whose versions are written into every result."""


@dataclass(frozen=True)
class Edited:
    """A photograph edited with one attribute at several strengths.

    Attributes:
      original: the face as the network saw it, (size, size, 3).
      faces: the reconstructions, one a strength, (size, size, 3) each.
      photographs: what is to be looked at, after the recipe's postprocessing.
      alphas: the strengths.
      history: the objective after each evaluation, a row a strength.
      iterations: evaluations for each strength.
      recipe: what was done.
      provenance: of the attribute vector.
      place: of the face in the photograph.
      seconds: by phase; an iteration is of all strengths together.
    """

    original: Float[np.ndarray, "s s 3"]
    faces: Float[np.ndarray, "a s s 3"]
    photographs: Float[np.ndarray, "a H W 3"]
    alphas: tuple[float, ...]
    history: Float[np.ndarray, "a i"]
    iterations: Int[np.ndarray, " a"]
    recipe: Recipe
    provenance: Provenance
    place: Place
    seconds: dict[str, float]

    def views(self) -> list[Float[np.ndarray, "_ _ 3"]]:
        """The face before and after at every strength, as in the photographs."""
        if "transfer_difference" not in self.recipe.postprocess:
            return [self.original, *self.photographs]
        return [self.original, *(cut(photograph, self.place) for photograph in self.photographs)]


def edit_face(
    vgg: VGG,
    photograph: Float[np.ndarray, "H W 3"],
    vector: AttributeVector,
    *,
    alphas: Sequence[float],
    recipe: Recipe,
    place: Place | None = None,
    mask: Float[np.ndarray, "_ _ 3"] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Edited:
    """Edits the face in a photograph at every strength, in one batch.

    Args:
      vgg: the network.
      photograph: RGB in [0, 1], of any size.
      vector: made with the same network, layers and image size.
      alphas: strengths; negative ones take the attribute away.
      recipe: how.
      place: of the face in the photograph, a box or where `faces.Face.place` has it; all of it by default.
      mask: for a recipe with the step `mask`; of the face, 1 where it may change; resized to it.
      on_progress: called during reconstruction.

    Raises:
      InputError: for strengths that aren't finite, a vector that doesn't fit the network or the recipe, a box outside
        of the photograph, or a mask that is missing or not asked for.
    """
    started = time.perf_counter()
    check_alphas(alphas)
    check_network(vgg, recipe)
    attribute.check(vector, vgg, recipe)
    if (mask is not None) != ("mask" in recipe.postprocess):
        raise InputError(
            "the recipe has the step `mask` and no mask is given; give one."
            if mask is None
            else "a mask is given and the recipe has no step `mask`; add it to the recipe's postprocess."
        )
    place = (0, 0, photograph.shape[1], photograph.shape[0]) if place is None else place
    check_face(photograph, place)
    size = (recipe.size, recipe.size)
    face = cut(photograph, place, size=recipe.size)

    mask = None if mask is None else image.resize(mask, size)
    clock = _Clock()

    def watch(progress: Progress) -> None:
        clock.tick(progress.iteration)
        if on_progress is not None:
            on_progress(progress)

    result = sweep(vgg, jnp.asarray(face), vector.features, alphas, recipe=recipe, on_progress=watch)
    unedited: list[np.ndarray] = []
    if "cancel_residual" in recipe.postprocess:
        unedited = _reconstruct_unedited(vgg, face, vector, recipe)
    photographs = [
        _finish(z, face, photograph, place, recipe=recipe, unedited=unedited, mask=mask) for z in result.images
    ]
    seconds = clock.seconds() | {"edit": time.perf_counter() - started}
    return Edited(
        original=face,
        faces=result.images,
        photographs=np.stack(photographs),
        alphas=tuple(float(alpha) for alpha in alphas),
        history=result.history,
        iterations=result.iterations,
        recipe=recipe,
        provenance=vector.provenance,
        place=place,
        seconds=seconds,
    )


@dataclass(frozen=True, eq=False)
class Request:
    """A photograph to edit; the fields are as `edit_face` takes them."""

    photograph: Float[np.ndarray, "H W 3"]
    vector: AttributeVector
    alphas: tuple[float, ...]
    place: Place | None = None


def edit_faces(
    vgg: VGG, requests: Iterable[Request], *, recipe: Recipe, batch_size: int | None = None
) -> Iterator[tuple[int, Edited]]:
    """Edits any number of photographs, all their strengths in one queue through the devices.

    The images are those that `edit_face` gives of each. A recipe that starts from the previous strength, or cancels
    the residual, is no queue of independent problems: its photographs are edited one after the other.

    Args:
      vgg: the network.
      requests: taken one by one, when there is place for their problems.
      recipe: of all of them, without the step `mask`.
      batch_size: problems at a time; as many as the devices' memory takes by default.

    Yields:
      The number of a request and what came of it, as each is done.

    Raises:
      InputError: as `edit_face` does; what `check_request` lets pass doesn't end the others.
    """
    if recipe.init == "previous" or "cancel_residual" in recipe.postprocess:
        for number, request in enumerate(requests):
            yield (
                number,
                edit_face(
                    vgg, request.photograph, request.vector, alphas=request.alphas, recipe=recipe, place=request.place
                ),
            )
        return
    waiting: dict[int, _Waiting] = {}
    origin: list[tuple[int, int]] = []

    def problems() -> Iterator[Problem]:
        for number, request in enumerate(requests):
            check_request(vgg, request, recipe=recipe)
            place = (
                request.place
                if request.place is not None
                else (0, 0, request.photograph.shape[1], request.photograph.shape[0])
            )
            face = cut(request.photograph, place, size=recipe.size)
            waiting[number] = _Waiting(request, place, face, [None] * len(request.alphas), time.perf_counter())
            for a, alpha in enumerate(request.alphas):
                origin.append((number, a))
                yield make_problem(
                    vgg, jnp.asarray(face)[None], request.vector.features, jnp.asarray([alpha], jnp.float32),
                    recipe=recipe,
                )  # fmt: skip

    for i, result in stream(vgg, problems(), recipe=recipe, batch_size=batch_size):
        number, a = origin[i]
        waiting[number].results[a] = result
        if None not in waiting[number].results:
            yield number, _assemble(waiting.pop(number), recipe)


def check_request(vgg: VGG, request: Request, *, recipe: Recipe) -> None:
    """Raises InputError for what can't be edited."""
    check_alphas(request.alphas)
    check_network(vgg, recipe)
    attribute.check(request.vector, vgg, recipe)
    if "mask" in recipe.postprocess:
        raise InputError("the recipe has the step `mask`, which takes a mask of each photograph; edit them singly.")
    if request.place is not None:
        check_face(request.photograph, request.place)


@dataclass
class _Waiting:
    """A request, some of whose strengths aren't done."""

    request: Request
    place: Place
    face: Float[np.ndarray, "s s 3"]
    results: list[Reconstruction | None]
    started: float


def _assemble(waiting: _Waiting, recipe: Recipe) -> Edited:
    request, results = waiting.request, [result for result in waiting.results if result is not None]
    faces = np.concatenate([result.images for result in results])
    width = max(result.history.shape[1] for result in results)
    history = [np.pad(result.history, ((0, 0), (0, width - result.history.shape[1])), "edge") for result in results]
    photographs = [
        _finish(z, waiting.face, request.photograph, waiting.place, recipe=recipe, unedited=[], mask=None)
        for z in faces
    ]
    return Edited(
        original=waiting.face,
        faces=faces,
        photographs=np.stack(photographs),
        alphas=tuple(float(alpha) for alpha in request.alphas),
        history=np.concatenate(history),
        iterations=np.concatenate([result.iterations for result in results]),
        recipe=recipe,
        provenance=request.vector.provenance,
        place=waiting.place,
        seconds={"edit": time.perf_counter() - waiting.started},
    )


def check_alphas(alphas: Sequence[float]) -> None:
    """Raises InputError unless there is a strength, all are finite, and no two share their first six digits."""
    if not len(alphas):
        raise InputError("there is no strength; give one alpha at least, such as 0.4.")
    names = []
    for alpha in alphas:
        if not np.isfinite(alpha):
            raise InputError(f"alpha is {alpha}; it should be a finite number, such as 0.4.")
        if f"{alpha:g}" in names:
            raise InputError(f"alpha {alpha:g} is given twice; give each strength once.")
        names.append(f"{alpha:g}")


def _reconstruct_unedited(
    vgg: VGG, face: Float[np.ndarray, "s s 3"], vector: AttributeVector, recipe: Recipe
) -> list[Float[np.ndarray, "s s 3"]]:
    """α = 0 after every 20 iterations, 600 at most, from where the edit starts."""
    recipe = recipe.replace(iterations=min(recipe.iterations, RESIDUAL_ITERATIONS))
    problem = make_problem(vgg, jnp.asarray(face)[None], vector.features, jnp.zeros(1), recipe=recipe)
    kept: list[np.ndarray] = []
    reconstruct(
        vgg, problem, recipe=recipe, every=RESIDUAL_EVERY, on_progress=lambda p: kept.append(np.asarray(p.images[0]))
    )
    return kept


def _finish(
    z: Float[np.ndarray, "s s 3"],
    face: Float[np.ndarray, "s s 3"],
    photograph: Float[np.ndarray, "H W 3"],
    place: Place,
    *,
    recipe: Recipe,
    unedited: list[Float[np.ndarray, "s s 3"]],
    mask: Float[np.ndarray, "s s 3"] | None,
) -> Float[np.ndarray, "_ _ 3"]:
    for step in recipe.postprocess:
        if step == "match_color":
            z = postprocess.match_color(z, face)
            unedited = [postprocess.match_color(u, face) for u in unedited]
        elif step == "cancel_residual":
            z = postprocess.cancel_residual(z, face, unedited)
        elif step == "mask":
            assert mask is not None
            z = postprocess.apply_mask(z, face, mask)
    if "transfer_difference" in recipe.postprocess:
        z = postprocess.transfer_difference(z, face, photograph, place)
    return np.clip(z, 0, 1)


class _Clock:
    """When iterations ended: the first one includes compilation."""

    def __init__(self) -> None:
        self._ticks = [(0, time.perf_counter())]

    def tick(self, iteration: int) -> None:
        self._ticks.append((iteration, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        steps = [(j - i, t - s) for (i, s), (j, t) in zip(self._ticks, self._ticks[1:], strict=False)]
        later = [t / n for n, t in steps[1:] if n > 0]
        iteration = statistics.median(later) if later else steps[0][1]
        return {
            "compilation": max(0.0, steps[0][1] - iteration),
            "iteration": iteration,
            "reconstruction": self._ticks[-1][1] - self._ticks[0][1],
        }


def save(
    folder: Path, edited: Edited, *, vgg: VGG, subject: dict[str, Any], seconds: dict[str, float], force: bool = False
) -> list[Path]:
    """Writes an edit into a folder, each file whole or not at all, `result.json` last.

    The files: `alpha-A.png` for each strength A; `sheet.png`, the face before and after, labelled; `loss.png`, the
    objective by iteration; `result.json`, all that is known about how they were made.

    Args:
      folder: made where it doesn't exist.
      edited: what `edit_face` returned.
      vgg: the network it was made with.
      subject: what was edited, for `result.json`: the photograph's name, the attribute.
      seconds: of the phases before the edit.
      force: whether the folder may hold files already; those of the same names are replaced.

    Returns:
      The files written.

    Raises:
      FileError: where the folder holds something, or can't be written to.
    """
    check_folder(folder, force=force)
    names = [f"alpha-{alpha:g}.png" for alpha in edited.alphas]
    for name, photograph in zip(names, edited.photographs, strict=True):
        image.write(folder / name, photograph)
    labels = [f"α = {alpha:g}" for alpha in edited.alphas]
    image.write(folder / "sheet.png", report.contact_sheet(edited.views(), ["original", *labels]))
    report.write_loss_curves(folder / "loss.png", edited.history, labels)
    result = subject | {
        "alphas": edited.alphas,
        "files": names,
        "place": np.asarray(edited.place).tolist(),
        "recipe": dataclasses.asdict(edited.recipe),
        "vector": dataclasses.asdict(edited.provenance),
        "network": {"name": vgg.name} | vgg.identity(),
        "iterations": edited.iterations.tolist(),
        "objective": edited.history.tolist(),
        "seconds": seconds | edited.seconds,
        "device": {"platform": jax.default_backend(), "kind": jax.devices()[0].device_kind},
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
    }
    with replacing(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2), encoding="utf-8")
    return [folder / name for name in (*names, "sheet.png", "loss.png", "result.json")]


def file_name(text: str) -> str:
    """A text as part of a file's name: letters, digits and `-_~`."""
    return "".join(c if c.isalnum() or c in "-_~" else "-" for c in text)


def check_folder(folder: Path, *, force: bool) -> None:
    """Raises FileError for what is no folder, or, without `force`, for one that holds something."""
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is a file; choose another folder for the results.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise FileError(f"{folder} already holds files; choose another folder, or replace them with --overwrite.")
