"""The command line: `dfi …`. What goes wrong for a user is said in one sentence, with exit code 1."""

import functools
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dfi_jax import attribute as vectors
from dfi_jax import edit as editing
from dfi_jax import image
from dfi_jax.data import lfw
from dfi_jax.data.select import parse_attributes
from dfi_jax.errors import DfiError, FileError, InputError
from dfi_jax.files import file_sha256
from dfi_jax.recipe import named_recipe
from dfi_jax.reconstruct import Progress as Reconstructing
from dfi_jax.vgg import ARCHITECTURES
from dfi_jax.weights import formats, load_vgg
from dfi_jax.weights.catalog import CATALOG, PREPROCESSING, Packaged, Published, identify
from dfi_jax.weights.download import fetch, is_here, recorded_sha256

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
console = Console(stderr=True)


@app.callback()
def main() -> None:
    """Deep Feature Interpolation: change an attribute of a face in a photograph, without training a model."""


class _DType(StrEnum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class _Report(Protocol):
    def __call__(self, done: int, total: int, detail: str) -> None: ...


@contextmanager
def _progress(description: str) -> Iterator[_Report]:
    """A progress bar, there from the first report on, so that an error before it stands alone.

    A report also ends what was interrupted: KeyboardInterrupt is lost where Python raises it inside one of JAX's own
    callbacks.
    """
    interrupted = False

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task(description, start=False, detail="")

    def report(done: int, total: int, detail: str) -> None:
        if interrupted:
            raise KeyboardInterrupt
        if not bar.live.is_started:
            bar.start()
            bar.start_task(task)
        bar.update(task, completed=done, total=total, detail=detail)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield report
    finally:
        signal.signal(signal.SIGINT, before)
        if bar.live.is_started:
            bar.stop()


def _sentence_for_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turns an error into its sentence and exit code 1; `--debug` shows the traceback as well."""

    @functools.wraps(command)
    def wrapped(*args: Any, debug: bool, **kwargs: Any) -> None:
        try:
            command(*args, debug=debug, **kwargs)
        except BrokenPipeError:  # `dfi … | head`: click ends quietly
            raise
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            console.print(f"dfi: {_sentence(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return wrapped


def _sentence(error: BaseException) -> str:
    if isinstance(error, DfiError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing half-written was left."
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "there is not enough memory; take fewer strengths at once or a smaller photograph."
    return f"{type(error).__name__}: {error} This is a mistake in dfi_jax; --debug shows where."


def _parse_alphas(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--alpha is {text!r}; give numbers with commas between them, as 0.1,0.2,0.4.") from None


def _parse_box(text: str) -> tuple[int, int, int, int]:
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--crop is {text!r}; give four whole numbers as x0,y0,x1,y1.") from None
    return x0, y0, x1, y1


@app.command()
@_sentence_for_errors
def edit(
    photo: Annotated[Path, typer.Argument(help="The photograph: a face, cropped as tightly as a passport's.")],
    attribute: Annotated[
        str, typer.Option(help="What to add: a starter vector's name, or a dataset's attributes: 'Smiling,~Male'.")
    ] = "",
    vector: Annotated[Path | None, typer.Option(help="A file with an attribute vector.")] = None,
    dataset: Annotated[str, typer.Option(help="Compute the vector from a dataset: lfw:DIR.")] = "",
    alpha: Annotated[str, typer.Option(help="Strengths, with commas between them; negative ones take away.")] = "0.4",
    recipe: Annotated[str, typer.Option(help="A named recipe: default or chainer-dfi.")] = "default",
    iterations: Annotated[
        int | None, typer.Option(help="Evaluations of the objective, at most, for each strength.")
    ] = None,
    k: Annotated[
        int, typer.Option(help="Images with and without the attribute, at most, for a dataset's vector.")
    ] = 100,
    crop: Annotated[str, typer.Option(help="The face in the photograph: x0,y0,x1,y1 in pixels.")] = "",
    mask: Annotated[Path | None, typer.Option(help="An image of the face: white where it may change.")] = None,
    weights: Annotated[
        str, typer.Option(help="The network: vgg16, a file of weights, or another name of `dfi weights list`.")
    ] = "vgg16",
    out: Annotated[
        Path | None, typer.Option(help="The folder for the results; dfi-PHOTO-ATTRIBUTE by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same names there.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Edit a face at one or several strengths; write pictures, loss curves and how they were made."""
    alphas = _parse_alphas(alpha)
    editing.check_alphas(alphas)
    chosen = named_recipe(recipe)
    if iterations is not None:
        chosen = chosen.replace(iterations=iterations)
    if mask is not None:
        chosen = chosen.replace(postprocess=_with_mask(chosen.postprocess))
    if vector is not None and dataset:
        raise InputError("both --vector and --dataset are given; give one of them.")
    if not attribute and vector is None:
        raise InputError(
            f"no --attribute is given; name a starter vector ({', '.join(vectors.starter_names())}), "
            f"or give a --vector or a --dataset."
        )
    named = attribute or (vector.stem if vector is not None else "")
    folder = out or Path(f"dfi-{photo.stem}-{_file_name(named)}")
    editing.check_folder(folder, force=overwrite)

    photograph = image.read(photo)
    in_lfw = lfw.is_lfw_image(photo) and photograph.shape[:2] == (lfw.SIDE, lfw.SIDE)
    height, width = photograph.shape[:2]
    box = _parse_box(crop) if crop else lfw.CROP if in_lfw else (0, 0, width, height)
    editing.check_face(photograph, box)
    mask_image = image.read(mask) if mask is not None else None

    seconds: dict[str, float] = {}
    found = None
    if not dataset:
        found = vectors.load(vector) if vector is not None else vectors.starter(attribute)
    with _timed(seconds, "weights"), _progress("weights") as report:
        vgg = load_vgg(weights, on_bytes=_megabytes(report))
    if found is None:
        with _timed(seconds, "means"), _progress("mean features") as report:
            images = lfw.load(_lfw_folder(dataset))
            found = editing.vector_near(
                vgg, images, parse_attributes(attribute), face=image.crop(photograph, box),
                index=images.index(photo), k=k, recipe=chosen,
                on_progress=lambda done, total: report(done, total, f"{done} of {total} images"),
            )  # fmt: skip
    with _progress(f"{named}, {len(alphas)} strength{'s' * (len(alphas) > 1)}") as report:

        def watch(state: Reconstructing) -> None:
            values = " ".join(f"{value:.4g}" for value in state.objective)
            report(state.iteration, state.total, f"objective {values}")

        edited = editing.edit_face(
            vgg, photograph, found, alphas=alphas, recipe=chosen, box=box, mask=mask_image, on_progress=watch
        )
    subject = {"photograph": photo.name, "attribute": named}
    for path in editing.save(folder, edited, vgg=vgg, subject=subject, seconds=seconds, force=overwrite):
        typer.echo(path)


weights_app = typer.Typer(no_args_is_help=True, help="Get, verify, look at and convert VGG weights.")
app.add_typer(weights_app, name="weights")

_Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]


@weights_app.command("list")
@_sentence_for_errors
def list_weights(debug: _Debug = False) -> None:
    """List the networks that --weights takes by name; it takes the path of a file as well."""
    for name, entry in CATALOG.items():
        if isinstance(entry, Packaged):
            where = f"in the package {entry.package.replace('_', '-')}"
        else:
            size = f"{entry.size / 1e6:.0f} MB" if entry.size else "of unknown size"
            where = f"{'downloaded' if is_here(entry) else f'to download, {size}'}, {entry.address}"
        checksum = f"{entry.checksum[:15]}…" if entry.checksum else "no checksum published"
        typer.echo(f"{name:18} {entry.architecture}, {entry.license}, {where}, {checksum}")
    for architecture in ARCHITECTURES:
        typer.echo(f"random-{architecture:11} {architecture} with random filters, for tests and timing")


@weights_app.command("get")
@_sentence_for_errors
def get_weights(
    name: Annotated[str, typer.Argument(help="A network that `dfi weights list` names.")], debug: _Debug = False
) -> None:
    """Download a published file into the cache folder, unless it is there, and verify it."""
    entry = CATALOG.get(name)
    if entry is None:
        raise InputError(f"there is no network {name!r} to get; choose from {', '.join(CATALOG)}.")
    if isinstance(entry, Published):
        with _progress(name) as report:
            path, _ = fetch(name, entry, on_bytes=_megabytes(report))
        typer.echo(path)
    else:
        typer.echo(entry.locate())


@weights_app.command("verify")
@_sentence_for_errors
def verify_weights(
    file: Annotated[Path, typer.Argument(help="A file of weights, in any of the formats that are read.")],
    debug: _Debug = False,
) -> None:
    """Check that a file is what was published, downloaded or converted, bit for bit."""
    weights = formats.read(file)
    sha256 = file_sha256(file)
    if names := identify(file):
        typer.echo(f"{file}: the published file of {' and '.join(names)}")
    elif recorded_sha256(file) == sha256:
        typer.echo(f"{file}: as it was when it was downloaded")
    elif weights.source is not None:
        typer.echo(f"{file}: as it was converted from {weights.source.get('file', 'parameters in memory')}")
    else:
        raise FileError(f"{file} can be read ({weights.architecture}, {weights.format}), but it is no published file: "
                        f"its SHA-256 is {sha256}; look at it with `dfi weights show`, or get the published "
                        f"one with `dfi weights get`.")  # fmt: skip


@weights_app.command("show")
@_sentence_for_errors
def show_weights(
    file: Annotated[Path, typer.Argument(help="A file of weights, in any of the formats that are read.")],
    debug: _Debug = False,
) -> None:
    """Say what a file of weights holds."""
    weights = formats.read(file)
    prepared = weights.preprocess
    typer.echo(f"{file.name}: {weights.architecture}, {'normalized' if weights.normalized else 'raw'} weights")
    typer.echo(f"format: {weights.format}")
    for key, value in (weights.source or {}).items():
        typer.echo(f"source {key}: {value}")
    typer.echo(f"SHA-256: {file_sha256(file)}")
    typer.echo(f"images: {'BGR' if prepared.bgr else 'RGB'}, 0 to {prepared.scale:g}, minus {prepared.mean}, "
               f"over {prepared.std}")  # fmt: skip
    for layer, parts in weights.params.items():
        kernel = parts["kernel"]
        typer.echo(f"{layer}  {' × '.join(map(str, kernel.shape)):17}  "
                   f"kernel {kernel.min():+.3f} to {kernel.max():+.3f}, deviation {kernel.std():.4f}")  # fmt: skip


@weights_app.command("convert")
@_sentence_for_errors
def convert_weights(
    file: Annotated[
        Path, typer.Argument(help="A published file: .pth, .h5, .mat, .caffemodel, .safetensors or .ckpt.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The safetensors file to write.")],
    dtype: Annotated[_DType, typer.Option(help="float16 or bfloat16 take half the space.")] = _DType.float32,
    deepest: Annotated[str, typer.Option(help="The last layer to keep, such as conv5_1; all by default.")] = "",
    preprocess: Annotated[
        str,
        typer.Option(help="What the network takes, where the file's format doesn't tell: chainer-dfi, for example."),
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file where it exists.")] = False,
    debug: _Debug = False,
) -> None:
    """Write the convolutions of a published file as safetensors, with preprocessing and provenance."""
    if output.exists() and not overwrite:
        raise FileError(f"{output} exists already; choose another name, or replace it with --overwrite.")
    if preprocess and preprocess not in PREPROCESSING:
        raise InputError(f"--preprocess is {preprocess!r}; choose from {', '.join(PREPROCESSING)}.")
    weights = formats.read(file)
    if preprocess:
        weights = weights._replace(preprocess=PREPROCESSING[preprocess])
    source = {"file": file.name, "sha256": file_sha256(file)}
    formats.write(output, weights, dtype=dtype.value, deepest=deepest or None, source=source)
    typer.echo(f"{output}: {weights.architecture}, {dtype.value}, {output.stat().st_size / 1e6:.1f} MB")


def _megabytes(report: _Report) -> Callable[[int, int], None]:
    return lambda there, total: report(there, total or there, f"{there / 1e6:.0f} MB")


def _with_mask(steps: tuple[str, ...]) -> tuple[str, ...]:
    """The steps with `mask` among them, before the difference goes to the photograph."""
    before = tuple(step for step in steps if step not in ("mask", "transfer_difference"))
    return (*before, "mask", *(step for step in steps if step == "transfer_difference"))


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_~" else "-" for c in text)


def _lfw_folder(spec: str) -> Path:
    kind, _, folder = spec.partition(":")
    if kind != "lfw" or not folder:
        raise InputError(f"--dataset is {spec!r}; give lfw:DIR, DIR being the folder with lfw_attributes.txt.")
    return Path(folder).expanduser()


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - started
