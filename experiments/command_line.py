"""The command line of an experiment, which is made from its configuration."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from typing import Any

ARGUMENTS = {
    "dataset": "a dataset, such as lfw:DIR",
    "folder": "a folder that directions.py wrote",
}
"""Fields of configurations that are arguments."""

OPTIONS = {
    "alphas": "strengths, separated by commas, such as --alphas=-0.5,0.5",
    "attribute": "attribute that is added",
    "frames": "number of frames of a movie from the first strength to the last",
    "generator": "file of the weights of the VAE/GAN",
    "iterations": "number of evaluations of an edit",
    "lambdas": "values of λ, separated by commas",
    "letters": "letters that are edited",
    "out": "folder for everything that is written",
    "people": "number of people",
    "photos": "number of photos of each kind",
    "published": "subjects that are edited as the authors do, too, separated by commas",
    "sizes": "heights and widths of the crop, separated by commas",
    "starters": "names of the vectors, separated by commas",
    "subjects": "files or names of photos, separated by commas",
}
"""Fields of configurations that are options."""

SMALL = {
    "features.layers": "conv1_2,conv2_1",
    "features.size": "64",
    "solver.iterations": "5",
}
"""Changes to a recipe with which `--quick` edits."""


def run_experiment(
    doc: str | None,
    config: Callable[..., Any],
    quick: Any,
    run: Callable[[Any], Any],
    print_tables: Callable[[Any], None],
) -> None:
    """Runs an experiment, and prints its tables, or its record as JSON.

    Args:
      doc: Docstring of the experiment.
      config: Class of its configuration. Its fields in `ARGUMENTS` and `OPTIONS` are arguments and
        options. An argument is required if its field has no default.
      quick: Configuration of `--quick`.
      run: Function that returns the record.
      print_tables: Function that prints the tables of a record.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    required = [
        field.name
        for field in dataclasses.fields(quick)
        if field.name in ARGUMENTS and field.default is dataclasses.MISSING
    ]
    options = [name for name in OPTIONS if hasattr(quick, name)]
    for name in required:
        parser.add_argument(name, nargs="?", help=ARGUMENTS[name])
    for name in options:
        parser.add_argument(f"--{name}", type=_parser(getattr(quick, name)), help=OPTIONS[name])
    parser.add_argument("--quick", action="store_true", help="try it on something small")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    arguments = parser.parse_args()
    given = {
        name: getattr(arguments, name)
        for name in (*required, *options)
        if getattr(arguments, name) is not None
    }
    missing = [ARGUMENTS[name] for name in required if name not in given]
    if missing and not arguments.quick:
        parser.error(f"give {' and '.join(missing)}, or --quick")
    record = run(dataclasses.replace(quick, **given) if arguments.quick else config(**given))
    if arguments.json:
        print(json.dumps(record, indent=2))
    else:
        print_tables(record)


def _parser(value: Any) -> Callable[[str], Any]:
    """Returns a function that reads a text as another value of the same type."""
    if not isinstance(value, tuple):
        return type(value)
    kind = type(value[0])
    return lambda text: tuple(map(kind, text.split(",")))
