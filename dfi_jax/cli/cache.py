"""`dfi cache`: what is kept from earlier runs."""

from typing import Annotated

import typer

from dfi_jax import cache
from dfi_jax.cli.terminal import Debug, sentence_for_errors

COMPUTED = tuple(kind for kind in cache.KINDS if kind != "weights")
"""What `clear` deletes unless it is told otherwise: what needs no network to come back."""

app = typer.Typer(no_args_is_help=True, help="Look at what is kept from earlier runs, and delete it.")


@app.command("info")
@sentence_for_errors
def info(debug: Debug = False) -> None:
    """Say what is kept, how much, and where."""
    for kind, held in cache.usage().items():
        typer.echo(f"{kind:10} {held.files:6} files {held.size / 1e6:10.1f} MB  {held.folder}")


@app.command("clear")
@sentence_for_errors
def clear(
    kinds: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(cache.KINDS)}; {', '.join(COMPUTED)} by default.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Delete what is kept; downloaded weights only where they are named."""
    chosen = tuple(kinds or COMPUTED)
    typer.echo(f"{', '.join(chosen)}: {cache.clear(chosen) / 1e6:.1f} MB deleted")
