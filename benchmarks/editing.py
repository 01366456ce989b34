"""How long do an edit, a sweep and a queue take, compared with another checkout of dfi_jax?

    python benchmarks/editing.py --against CHECKOUT [--photos 3] [--rounds 3] [--iterations N]

Edits drawn faces with the starter vector for eyeglasses: one photo at one strength, one photo at
five, and a queue of photos at one. The checkouts run in turns. Each has its own processes and its
own cache, and both use this checkout's Python and packages. A first round isn't counted: it
compiles the programs, which later rounds find in the cache. Seconds count the edits alone, not
imports and loading the network. The other checkout may have the current API or the first version's.
Each checkout takes the iterations of its own default recipe, unless `--iterations` is given.
Without `--against`, only this checkout is measured. `--quick` edits one photo, and stops after two
iterations.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark_options import make_parser, print_record
from timing import describe_machine, describe_quartiles, print_head, print_machine

TITLES = {
    "single": "one photo, one strength",
    "sweep": "one photo, five strengths",
    "queue": "{photos} photos, one strength each",
}
"""The titles of the modes of `editing_worker.py`."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      against: Path of another checkout, or an empty text for none.
      modes: Names of the modes, keys of `TITLES`.
      photos: Number of photos in the queue.
      rounds: Number of rounds.
      iterations: Number of iterations of each strength, or None for the default recipe's.
    """

    against: str = ""
    modes: tuple[str, ...] = tuple(TITLES)
    photos: int = 3
    rounds: int = 3
    iterations: int | None = None


CONFIG = Config()
QUICK = Config(modes=("single",), photos=1, rounds=1, iterations=2)


def run(config: Config) -> dict[str, Any]:
    """Returns the seconds of each checkout in each round, by the title of the mode."""
    checkouts = {"this": str(Path(__file__).parents[1])}
    if config.against:
        checkouts["other"] = str(Path(config.against).resolve())
    seconds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as caches:
        for mode in config.modes:
            found: dict[str, list[float]] = {name: [] for name in checkouts}
            for number in range(config.rounds + 1):
                for name, checkout in checkouts.items():
                    taken = time_worker(checkout, mode, Path(caches, name), config=config)
                    if number:
                        found[name].append(taken)
            seconds[TITLES[mode].format(photos=config.photos)] = found
    return {
        "config": dataclasses.asdict(config),
        "machine": describe_machine(),
        "seconds": seconds,
    }


def time_worker(checkout: str, mode: str, cache: Path, *, config: Config) -> float:
    """Returns the seconds of the edits of one process."""
    worker = Path(__file__).with_name("editing_worker.py")
    command = [sys.executable, str(worker), mode, str(config.photos)]
    if config.iterations is not None:
        command.append(str(config.iterations))
    environment = os.environ | {"PYTHONPATH": checkout, "DFI_JAX_CACHE": str(cache)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout)


def print_tables(record: dict[str, Any]) -> None:
    """Prints the seconds, and the ratios of each round."""
    print_machine(record["machine"])
    print_head("| edits | this, s | other, s | this over other |")
    for title, seconds in record["seconds"].items():
        this, other = seconds["this"], seconds.get("other", [])
        ratios = [a / b for a, b in zip(this, other, strict=False)]
        cells = (describe_quartiles(values) if values else "" for values in (this, other, ratios))
        print(f"| {title} | {' | '.join(cells)} |")


def main() -> None:
    """Measures and prints the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--against", default="", help="path of another checkout")
    parser.add_argument("--photos", type=int, default=CONFIG.photos, help="photos in the queue")
    parser.add_argument("--rounds", type=int, default=CONFIG.rounds, help="number of rounds")
    parser.add_argument(
        "--iterations", type=int, default=CONFIG.iterations, help="iterations of each strength"
    )
    arguments = parser.parse_args()
    config = Config(
        against=arguments.against,
        photos=arguments.photos,
        rounds=arguments.rounds,
        iterations=arguments.iterations,
    )
    if arguments.quick:
        config = dataclasses.replace(QUICK, against=arguments.against)
    print_record(run(config), print_tables, as_json=arguments.json)


if __name__ == "__main__":
    main()
