"""`dfi weights`: download, verify, show and convert the weights of VGG networks."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from dfi_jax.cli import options, output
from dfi_jax.cli.terminal import (
    Command,
    Debug,
    Json,
    Quiet,
    print_line,
    print_result,
    progress,
    sentence_for_errors,
)
from dfi_jax.errors import FileError, InputError
from dfi_jax.network.vgg import ARCHITECTURES
from dfi_jax.network.weights import converted, formats
from dfi_jax.network.weights.catalog import CATALOG, PREPROCESSING, Packaged, Published, identify
from dfi_jax.network.weights.download import fetch, is_downloaded, recorded_sha256
from dfi_jax.storage.files import file_sha256

app = typer.Typer(
    no_args_is_help=True, help="Download, verify, show and convert the weights of VGGs."
)

WeightsFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="File of weights, in any format that `--weights` accepts.",
        show_default=False,
        parser=options.named_path,
    ),
]


@app.command("list", cls=Command)
@sentence_for_errors
def list_weights(json_: Json = False, debug: Debug = False) -> None:
    """List the networks that `--weights` accepts by name.

    Each line has the name, the architecture, the licence, the origin and the checksum.
    """
    if json_:
        networks = {
            name: {
                "architecture": entry.architecture,
                "license": entry.license,
                "downloaded": isinstance(entry, Packaged) or is_downloaded(entry),
                "checksum": entry.checksum or None,
            }
            for name, entry in CATALOG.items()
        }
        typer.echo(json.dumps(networks))
        return
    for name, entry in CATALOG.items():
        if isinstance(entry, Packaged):
            where = f"in the package {entry.package.replace('_', '-')}"
        else:
            size = f"{entry.size / 1e6:.0f} MB" if entry.size else "of unknown size"
            state = "downloaded" if is_downloaded(entry) else f"to download, {size}"
            where = f"{state}, {entry.address}"
        checksum = f"{entry.checksum[:15]}…" if entry.checksum else "no checksum published"
        typer.echo(f"{name:18} {entry.architecture}, {entry.license}, {where}, {checksum}")
    for architecture in ARCHITECTURES:
        name = f"random-{architecture}"
        typer.echo(f"{name:18} {architecture}, random filters, for tests and timing")


@app.command("get", cls=Command)
@sentence_for_errors
def get_weights(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name that `dfi weights list` prints.", show_default=False
        ),
    ],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Download a network's weights into the cache.

    This verifies them and prints where they are. Weights that are in the cache already aren't
    downloaded again.
    """
    entry = CATALOG.get(name)
    if entry is None:
        raise InputError(f"the network {name!r} doesn't exist; choose from {', '.join(CATALOG)}.")
    if isinstance(entry, Published):
        with progress(quiet=quiet) as on_progress:
            path, _ = fetch(name, entry, on_progress=on_progress)
        print_result(path)
    else:
        print_result(entry.locate())


@app.command("verify", cls=Command)
@sentence_for_errors
def verify_weights(file: WeightsFile, debug: Debug = False) -> None:
    """Check that a file of weights is unchanged.

    The file is compared with the published one, or with what was downloaded or converted.
    """
    weights = formats.read(file)
    sha256 = file_sha256(file)
    if names := identify(file):
        typer.echo(f"{file}: the published file of {' and '.join(names)}")
    elif recorded_sha256(file) == sha256:
        typer.echo(f"{file}: unchanged since it was downloaded")
    elif weights.source is not None:
        origin = weights.source.get("file", "parameters in memory")
        print_line(f"{file}: unchanged since it was converted from {origin}")
    else:
        raise FileError(
            f"{file} can be read ({weights.architecture}, {weights.format}) but isn't a published "
            f"file, because its SHA-256 is {sha256}; show it with `dfi weights show`, or download "
            f"a published file with `dfi weights get`."
        )


@app.command("show", cls=Command)
@sentence_for_errors
def show_weights(file: WeightsFile, debug: Debug = False) -> None:
    """Show the format, the origin and the layers of a file of weights."""
    weights = formats.read(file)
    inputs = weights.preprocess
    kind = "normalized" if weights.normalized else "raw"
    typer.echo(f"{file.name}: {weights.architecture}, {kind} weights")
    typer.echo(f"format: {weights.format}")
    for key, value in (weights.source or {}).items():
        print_line(f"source {key}: {value}")
    typer.echo(f"SHA-256: {file_sha256(file)}")
    typer.echo(
        f"images: {'BGR' if inputs.bgr else 'RGB'}, 0 to {inputs.scale:g}, minus {inputs.mean}, "
        f"over {inputs.std}"
    )
    for layer, parts in weights.params.items():
        kernel = parts["kernel"]
        shape = " × ".join(map(str, kernel.shape))
        typer.echo(
            f"{layer}  {shape:17}  kernel {kernel.min():+.3f} to {kernel.max():+.3f}, "
            f"deviation {kernel.std():.4f}"
        )


@app.command("convert", cls=Command)
@sentence_for_errors
def convert_weights(
    file: WeightsFile,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Safetensors file to write.",
            show_default=False,
            parser=options.named_path,
        ),
    ],
    dtype: Annotated[
        converted.DType,
        typer.Option(help="Type of the stored numbers; the 16-bit types take half the space."),
    ] = "float32",
    deepest: Annotated[
        str,
        typer.Option(
            metavar="LAYER",
            help="Last layer to keep, such as conv5_1. By default, all layers are kept.",
        ),
    ] = "",
    preprocess: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help=f"Kind of images that the network expects: {', '.join(PREPROCESSING)}. By "
            "default, it follows from the file's format.",
        ),
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output file if it exists.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Convert the convolutions of a published file to safetensors.

    The new file also holds the preprocessing and the origin. No other package is needed to read it.
    """
    output.check_out_file(out, overwrite=overwrite)
    if preprocess and preprocess not in PREPROCESSING:
        raise InputError(f"--preprocess is {preprocess!r}; choose from {', '.join(PREPROCESSING)}.")
    weights = formats.read(file)
    if preprocess:
        weights = dataclasses.replace(weights, preprocess=PREPROCESSING[preprocess])
    source = {"file": file.name, "sha256": file_sha256(file)}
    converted.write(out, weights, dtype=dtype, deepest=deepest or None, source=source)
    megabytes = out.stat().st_size / 1e6
    typer.echo(f"{out}: {weights.architecture}, {dtype}, {megabytes:.1f} MB")
