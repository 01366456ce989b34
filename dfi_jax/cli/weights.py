"""`dfi weights`: get, verify, look at and convert VGG weights."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dfi_jax.cli.terminal import Debug, megabytes, progress, sentence_for_errors
from dfi_jax.errors import FileError, InputError
from dfi_jax.storage.files import file_sha256
from dfi_jax.network.vgg import ARCHITECTURES
from dfi_jax.network.weights import formats
from dfi_jax.network.weights.catalog import CATALOG, PREPROCESSING, Packaged, Published, identify
from dfi_jax.network.weights.download import fetch, is_here, recorded_sha256


class _DType(StrEnum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


app = typer.Typer(no_args_is_help=True, help="Get, verify, look at and convert VGG weights.")


@app.command("list")
@sentence_for_errors
def list_weights(debug: Debug = False) -> None:
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


@app.command("get")
@sentence_for_errors
def get_weights(
    name: Annotated[str, typer.Argument(help="A network that `dfi weights list` names.")], debug: Debug = False
) -> None:
    """Download a published file into the cache folder, unless it is there, and verify it."""
    entry = CATALOG.get(name)
    if entry is None:
        raise InputError(f"there is no network {name!r} to get; choose from {', '.join(CATALOG)}.")
    if isinstance(entry, Published):
        with progress(name) as report:
            path, _ = fetch(name, entry, on_bytes=megabytes(report))
        typer.echo(path)
    else:
        typer.echo(entry.locate())


@app.command("verify")
@sentence_for_errors
def verify_weights(
    file: Annotated[Path, typer.Argument(help="A file of weights, in any of the formats that are read.")],
    debug: Debug = False,
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


@app.command("show")
@sentence_for_errors
def show_weights(
    file: Annotated[Path, typer.Argument(help="A file of weights, in any of the formats that are read.")],
    debug: Debug = False,
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


@app.command("convert")
@sentence_for_errors
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
    debug: Debug = False,
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
