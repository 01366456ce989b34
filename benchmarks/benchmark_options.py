"""The options that all benchmarks have: a small measurement, and the record instead of tables."""

import argparse
import json
from collections.abc import Callable
from typing import Any


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options that all benchmarks have.

    Args:
      doc: Docstring of the benchmark, which `--help` prints.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="measure something small instead")
    parser.add_argument("--json", action="store_true", help="print the record instead of tables")
    return parser


def run_benchmark(
    doc: str | None,
    config: Any,
    quick: Any,
    run: Callable[[Any], dict[str, Any]],
    print_tables: Callable[[dict[str, Any]], None],
) -> None:
    """Runs a benchmark that has no other options, and prints its tables, or its record as JSON.

    Args:
      doc: Docstring of the benchmark.
      config: Configuration.
      quick: Configuration of `--quick`.
      run: Function that returns the record.
      print_tables: Function that prints the tables of a record.
    """
    arguments = make_parser(doc).parse_args()
    record = run(quick if arguments.quick else config)
    print_record(record, print_tables, as_json=arguments.json)


def print_record(
    record: dict[str, Any], print_tables: Callable[[dict[str, Any]], None], *, as_json: bool
) -> None:
    """Prints a record as JSON, or its tables."""
    if as_json:
        print(json.dumps(record))
    else:
        print_tables(record)
