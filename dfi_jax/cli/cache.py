"""`dfi cache`: show and delete the stored results of earlier runs."""

import json
from typing import Annotated

import typer

from dfi_jax.cli.terminal import Command, Debug, Json, sentence_for_errors
from dfi_jax.storage.cache import KINDS, Cache

COMPUTED = tuple(kind for kind in KINDS if kind != "weights")
"""The kinds that `clear` deletes by default: everything that can be computed again offline."""

app = typer.Typer(no_args_is_help=True, help="Show and delete what earlier runs left in the cache.")


@app.command("info", cls=Command)
@sentence_for_errors
def show_cache(json_: Json = False, debug: Debug = False) -> None:
    """Show how much of each kind is in the cache, and where."""
    if json_:
        usage = {
            kind: {"folder": str(used.folder), "files": used.files, "bytes": used.size}
            for kind, used in Cache().usage().items()
        }
        typer.echo(json.dumps(usage))
        return
    for kind, used in Cache().usage().items():
        typer.echo(f"{kind:10} {used.files:6} files {used.size / 1e6:10.1f} MB  {used.folder}")


@app.command("clear", cls=Command)
@sentence_for_errors
def clear_cache(
    kinds: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND...]",
            help=f"Kinds of results: {', '.join(KINDS)}. By default, all except weights.",
            show_default=False,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Delete what earlier runs left in the cache.

    What is deleted is computed again when it is needed. Downloaded weights are kept, unless you
    name the kind weights. Edited photos aren't in the cache.
    """
    chosen = tuple(kinds or COMPUTED)
    typer.echo(f"deleted {Cache().clear(chosen) / 1e6:.1f} MB: {', '.join(chosen)}")
