"""`dfi`: the commands, and what happens before each of them."""

from typing import Annotated

import typer

import dfi_jax
from dfi_jax.cli import batch, cache, dataset, edit, vectors, weights
from dfi_jax.cli.terminal import Command
from dfi_jax.storage.cache import Cache

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dfi_jax {dfi_jax.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Change an attribute of a face in a photo, without training a model.

    For example, `dfi edit me.jpg eyeglasses` puts eyeglasses on a face.
    """
    # Compiling took 17 seconds, which every process would pay (docs/performance.md).
    Cache().keep_compiled()


app.command("edit", cls=Command)(edit.edit)
app.command("batch", cls=Command)(batch.batch)
app.add_typer(vectors.app, name="vectors")
app.command("select", cls=Command)(dataset.select)
app.command("attributes", cls=Command)(dataset.attributes)
app.add_typer(weights.app, name="weights")
app.add_typer(cache.app, name="cache")
