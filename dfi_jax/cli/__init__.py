"""The command line: `dfi …`. What goes wrong for a user is said in one sentence, with exit code 1."""

import typer

from dfi_jax.cache import keep_compiled
from dfi_jax.cli import batch, cache, dataset, edit, weights

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Deep Feature Interpolation: change an attribute of a face in a photograph, without training a model."""
    keep_compiled()


app.command("edit")(edit.edit)
app.command("batch")(batch.batch)
app.command("select")(dataset.select)
app.command("attributes")(dataset.attributes)
app.add_typer(weights.app, name="weights")
app.add_typer(cache.app, name="cache")
