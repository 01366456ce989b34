"""How the benchmarks measure seconds and describe the machine."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax


def time_in_turns(functions: Sequence[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Returns the seconds of each function in each round.

    Functions run in turns, because the machine may be busy in one minute and not in the next. A
    first round isn't counted, because it compiles.
    """
    for function in functions:
        jax.block_until_ready(function())
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, seconds, strict=True):
            started = time.perf_counter()
            jax.block_until_ready(function())
            taken.append(time.perf_counter() - started)
    return seconds


def quartiles(values: Sequence[float]) -> list[float]:
    """Returns the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return [*values] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def describe_quartiles(values: Sequence[float]) -> str:
    """Returns the median, with the quartiles in brackets."""
    low, middle, high = quartiles(values)
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def print_head(head: str) -> None:
    """Prints the head of a Markdown table, after a blank line."""
    print(f"\n{head}\n{'| --- ' * (head.count('|') - 1)}|")


def describe_machine() -> dict[str, Any]:
    """Returns the device, the processor and the versions."""
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return {
        "device": jax.devices()[0].device_kind,
        "processor": processor,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }


def print_machine(machine: dict[str, Any]) -> None:
    """Prints the machine in one line."""
    versions = f"Python {machine['python']}, jax {machine['jax']}"
    if "torch" in machine:
        versions += f", torch {machine['torch']}"
    where = f"{machine['device']}; {machine['processor']}, {machine['cores']} cores"
    print(f"Machine: {where}; {versions}")
