"""What would a million edits cost? A model on paper, the compiler, and many simulated devices.

    python benchmarks/scaling.py [--quick] [--no-host] [--json]

Prints the tables of docs/scaling.md in a few minutes on 2 CPU cores. It needs the extras `demo`,
for a photo, and `faces`. No accelerator is needed or used. FLOPs, bytes and memory are counted by
the CPU's compiler in the engine's own step (direct convolution, float32), and compared with
formulas from the layers' shapes. Devices are simulated by XLA on the CPU. Seconds on an accelerator
are computed from a fraction of its published peaks, which is assumed, not measured. The work of the
host is measured, and left out with `--no-host`: everything else can be computed on a busy machine.
`--quick` leaves out VGG-19, larger numbers of devices and most of the manifest.
"""

import dataclasses
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmark_options import make_parser, print_record
from scaling_devices import count_problem, simulate
from scaling_model import EIGHT_H100, H100, V5E, Piece, add_up, list_pieces, predict_seconds
from timing import describe_machine, print_machine

from dfi_jax import Recipe
from dfi_jax.data.dataset import BATCH
from dfi_jax.engine.problem import problem_bytes


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is computed and measured.

    Attributes:
      architectures: Names of the architectures.
      sizes: Heights and widths at which memory is compared.
      edits: Number of edits.
      means: Number of images whose mean features are computed.
      batch: Number of problems on a device at a time.
      fraction: Part of its peaks that an accelerator is assumed to reach.
      devices: Numbers of simulated devices.
      iterations: Number of iterations of the edit that the host's work is measured with.
      lines: Number of lines in the manifest.
      times: Number of runs of the host's slow work. Fast work runs four times as often. With 0, the
        host isn't measured.
    """

    architectures: tuple[str, ...] = ("vgg19", "vgg16")
    sizes: tuple[int, ...] = (104, 200)
    edits: int = 1_000_000
    means: int = 200_000
    batch: int = 64
    fraction: float = 0.4
    devices: tuple[int, ...] = (1, 8, 64)
    iterations: int = 100
    lines: int = 2000
    times: int = 5


CONFIG = Config()
QUICK = Config(architectures=("vgg16",), sizes=(32,), devices=(2,), iterations=1, lines=20, times=1)

RECIPE = Recipe().set({"solver.iterations": "100"})
"""The recipe of the edits."""


def run(config: Config) -> dict[str, Any]:
    """Returns the compiler's counts, the simulated devices, and what the host does."""
    counts = []
    for name in config.architectures:
        for size in config.sizes:
            recipe = RECIPE.set({"features.size": str(size)})
            counts.append({"network": name, "size": size} | count_problem(name, recipe=recipe))
    recipe = RECIPE.set({"solver.iterations": str(config.iterations)})
    host: list[dict[str, Any]] = []
    if config.times:
        # Its packages aren't needed to print the tables of a record.
        from scaling_host import measure_host

        with tempfile.TemporaryDirectory() as folder:
            host = measure_host(Path(folder), recipe=recipe, lines=config.lines, times=config.times)
    return {
        "config": dataclasses.asdict(config),
        "machine": describe_machine(),
        "counts": counts,
        "devices": [simulate(count) for count in config.devices],
        "host": host,
    }


def print_table(title: str, head: str, rows: Iterable[str]) -> None:
    """Prints a Markdown table with its title."""
    print(f"\n### {title}\n\n| {head} |\n{'| --- ' * (head.count('|') + 1)}|")
    for row in rows:
        print(f"| {row} |", flush=True)


def list_counts(record: dict[str, Any]) -> Iterable[str]:
    """Yields the FLOPs and bytes of one more problem, by formula and by compiler."""
    for row in record["counts"]:
        if row["size"] != record["config"]["sizes"][-1]:
            continue
        recipe = RECIPE.set({"features.size": str(row["size"])})
        least, apart = (
            [add_up(list_pieces(row["network"], n, recipe=recipe, apart=way)) for n in (1, 2)]
            for way in (False, True)
        )
        flops, inside, moved = (
            getattr(least[1], name) - getattr(least[0], name)
            for name in ("flops", "inside", "moved")
        )
        passes = apart[1].moved - apart[0].moved
        yield (
            f"{row['network']} | {flops / 1e9:.2f} | "
            f"{inside / 1e9:.2f} | {row['flops'] / 1e9:.2f} | {row['flops'] / inside:.3f} | "
            f"{moved / 1e6:.0f} | {passes / 1e6:.0f} | {row['moved'] / 1e6:.0f} | "
            f"{row['moved'] / passes:.2f}"
        )


def list_memory(record: dict[str, Any]) -> Iterable[str]:
    """Yields `problem_bytes` beside the compiler's count."""
    for row in record["counts"]:
        recipe = RECIPE.set({"features.size": str(row["size"])})
        guess = problem_bytes(row["network"], recipe=recipe)
        fitting = " | ".join(f"{machine.memory / 2 / guess:.0f}" for machine in (H100, V5E))
        yield (
            f"{row['network']}, {row['size']} × {row['size']} | {guess / 1e6:.0f} | "
            f"{row['held'] / 1e6:.0f} | {guess / row['held']:.2f} | {fitting}"
        )


def list_devices(record: dict[str, Any]) -> Iterable[str]:
    """Yields what the simulated devices did."""
    for row in record["devices"]:
        collectives = ", ".join(str(count) for count in row["collectives"].values())
        yield (
            f"{row['devices']} | {row['flops'] / 1e6:.1f} | {row['temporary_bytes'] / 1e6:.2f} | "
            f"{collectives} | {row['done']} of {row['problems']} | "
            f"{row['fewest_iterations']}–{row['most_iterations']} | {row['same_end']} | "
            f"{row['difference']:.0e} | {row['occupancy']:.0%}"
        )


def list_parts(config: Config) -> Iterable[str]:
    """Yields the FLOPs per byte of each part, and the precisions at which a device waits."""
    parts: dict[str, Piece] = {}
    for piece in list_pieces(config.architectures[0], config.batch, recipe=RECIPE):
        parts[piece.name] = add_up([parts.get(piece.name, Piece("", 0, 0, 0)), piece])
    for (flops, _, moved), alike in groupby(parts, lambda name: parts[name][1:]):
        first, *others = alike
        waiting = (
            ", ".join(
                precision
                for precision, peak in machine.flops.items()
                if flops / moved < peak / machine.bandwidth
            )
            for machine in (H100, V5E)
        )
        name = f"{first} to {others[-1]}" if others else first
        yield (
            f"{name} | {flops / config.batch / 1e9:.2f} | {moved / config.batch / 1e6:.1f} | "
            f"{flops / moved:.0f} | {' | '.join(waiting)}"
        )
    peaks = (
        ", ".join(f"{p} {peak / m.bandwidth:.0f}" for p, peak in m.flops.items())
        for m in (H100, V5E)
    )
    yield f"FLOPs per byte of the peaks | | | | {' | '.join(peaks)}"


def list_work(config: Config) -> Iterable[str]:
    """Yields the FLOPs of all edits and means, and the fewest bytes that devices can move."""
    steps = config.edits * RECIPE.solver.iterations / config.batch
    batches = config.means / BATCH
    for name in config.architectures:
        edit = add_up(list_pieces(name, config.batch, recipe=RECIPE))
        mean = add_up(list_pieces(name, BATCH, recipe=RECIPE, gradient=False))
        yield (
            f"{name} | {steps * edit.flops / 1e18:.2f} | {steps * edit.moved / 1e15:.1f} | "
            f"{batches * mean.flops / 1e15:.2f} | {batches * mean.moved / 1e12:.1f}"
        )


def list_costs(config: Config) -> Iterable[str]:
    """Yields what all edits and means cost on each machine."""
    iterations = config.edits * RECIPE.solver.iterations
    for name in config.architectures:
        for machine in (H100, EIGHT_H100, V5E) if name == "vgg19" else (H100,):
            for precision in machine.flops:
                least, apart = (
                    predict_seconds(
                        list_pieces(name, config.batch, recipe=RECIPE, apart=way),
                        machine,
                        precision,
                    )
                    for way in (False, True)
                )
                forward = list_pieces(name, BATCH, recipe=RECIPE, gradient=False)
                hours = iterations * least / config.batch / config.fraction / 3600
                rate = config.edits * machine.devices / hours / 3600
                means = config.means / BATCH * predict_seconds(forward, machine, precision)
                means /= config.fraction
                yield (
                    f"{name}, {machine.name}, {precision} | {least / config.batch * 1e3:.3f} | "
                    f"{least / apart:.0%} | {hours:.1f} | {hours / machine.devices:.2f} | "
                    f"{rate:,.1f} | {means / 60:.2f} | {means / machine.devices:.1f}"
                )


def list_host(record: dict[str, Any]) -> Iterable[str]:
    """Yields what the host does."""
    for row in record["host"]:
        size = f"{row['bytes']:,}" if row["bytes"] else ""
        read, written = (
            f"{row[name]:.3g}" if row[name] else "" for name in ("read_ms", "write_ms")
        )
        yield f"{row['what']} | {size} | {read} | {written}"


def print_tables(record: dict[str, Any]) -> None:
    """Prints all tables."""
    config = Config(**record["config"])
    print_machine(record["machine"])
    print_table(
        f"One more problem in a step, {config.sizes[-1]} × {config.sizes[-1]}",
        "network | GFLOP, formula | without the border | compiler | over that | "
        "MB moved, least | passes apart | compiler | over that",
        list_counts(record),
    )
    print_table(
        "Memory of one more problem, MB",
        "network, size | `problem_bytes` | compiler | over that | in half of an H100 | "
        "in half of a v5e",
        list_memory(record),
    )
    print_table(
        "Simulated devices, images of 16 × 16; compiled for two problems per device",
        "devices | MFLOP per device | temporary MB per device | collectives in step, loop, fill | "
        "done | iterations | same end as alone | largest difference | occupancy",
        list_devices(record),
    )
    print_table(
        f"An iteration with {config.architectures[0]}, by parts, {config.batch} problems",
        "part | GFLOP per problem | MB | FLOPs per byte | H100 waits at | v5e waits at",
        list_parts(config),
    )
    print_table(
        f"The work of {config.edits:,} edits of {RECIPE.solver.iterations} iterations, and of the "
        f"means of {config.means:,} images",
        "network | edits: EFLOP | PB moved | means: PFLOP | TB moved",
        list_work(config),
    )
    print_table(
        f"At {config.fraction:.0%} of the peaks, assumed",
        "network, machine, precision | ms per iteration and problem at peak | of peak with passes "
        "apart | device-hours | hours | edits per second | means: device-minutes | seconds",
        list_costs(config),
    )
    if record["host"]:
        print_table(
            "On the host, one process", "what | bytes | read, ms | written, ms", list_host(record)
        )


def main() -> None:
    """Measures and prints the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--no-host", action="store_true", help="don't measure the host's work")
    arguments = parser.parse_args()
    config = QUICK if arguments.quick else CONFIG
    if arguments.no_host:
        config = dataclasses.replace(config, times=0)
    print_record(run(config), print_tables, as_json=arguments.json)


if __name__ == "__main__":
    main()
