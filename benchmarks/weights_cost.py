"""What do weights cost: memory while they are read, and precision if they take half the space?

    python benchmarks/weights_cost.py [--quick] [--json]

Writes a VGG-19 with fully connected layers, 575 MB, in each format as its own tool writes it, and
reads it in a process of its own. The peak is the most memory that the process had while reading,
beyond what it had with every library imported. Then converts VGG-16 to each type of number, and
compares the features of ten drawn faces. Needs the extra `convert` and Linux, which counts the
memory. `--quick` writes only safetensors, without fully connected layers, and draws one small face.
"""

import dataclasses
import importlib
import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from benchmark_options import run_benchmark
from timing import print_head

from dfi_jax import VGG, features, load_dataset, load_vgg
from dfi_jax.network.weights import converted, formats
from dfi_jax.network.weights.parameters import Weights

DTYPES: tuple[Literal["float32", "float16", "bfloat16"], ...] = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured.

    Attributes:
      formats: Names of the formats, or `()` for all.
      dense: Whether files have the fully connected layers.
      weights: Name of the network that is converted.
      faces: Number of drawn faces whose features are compared.
      size: Height and width of the faces.
    """

    formats: tuple[str, ...] = ()
    dense: bool = True
    weights: str = "vgg16"
    faces: int = 10
    size: int = 200


CONFIG = Config()
QUICK = Config(formats=("safetensors",), dense=False, faces=1, size=32)


def run(config: Config) -> dict[str, Any]:
    """Returns the peak of memory for each format, and the error of features for each type."""
    return {
        "config": dataclasses.asdict(config),
        "memory": measure_memory(config),
        "errors": measure_errors(config),
    }


def measure_memory(config: Config) -> dict[str, dict[str, int]]:
    """Returns the size of each format's file and the peak of reading it, in bytes."""
    # Its libraries aren't needed to print the tables of a record.
    from foreign_weights import WRITERS, make_network

    network = make_network(dense=config.dense)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in config.formats or WRITERS:
            file, write = WRITERS[name]
            path = Path(folder, file)
            write(path, network)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(measure_reading, (path,))
            found[name] = {"file": path.stat().st_size, "peak": peak}
            path.unlink()
    return found


def measure_reading(path: Path) -> int:
    """Returns the largest number of bytes that reading a file takes."""
    importlib.import_module("foreign_weights")  # All libraries are imported before memory counts.
    before = count_memory("VmRSS")
    formats.read(path)
    return count_memory("VmHWM") - before


def count_memory(kind: Literal["VmRSS", "VmHWM"]) -> int:
    """Returns the bytes of this process, now (`VmRSS`) or at their largest (`VmHWM`)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    lines = dict(line.split(":", 1) for line in status)
    return int(lines[kind].split()[0]) * 1024


def measure_errors(config: Config) -> dict[str, dict[str, float]]:
    """Returns the size of each type's file, and the relative error of the features per layer."""
    dataset = load_dataset(f"synthetic:{config.faces}")
    faces = jnp.asarray(np.stack([dataset.face(i, config.size) for i in range(config.faces)]))
    vgg = load_vgg(config.weights)
    expected = features(vgg, faces)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.safetensors")
        for dtype in DTYPES:
            converted.write(path, to_weights(vgg), dtype=dtype, deepest="conv5_1")
            phi = features(load_vgg(path), faces)
            found[dtype] = {"file": path.stat().st_size}
            for name, layer in expected.items():
                error = jnp.linalg.norm(phi[name] - layer) / jnp.linalg.norm(layer)
                found[dtype][name] = float(error)
    return found


def to_weights(vgg: VGG) -> Weights:
    """Returns the parameters of a network as a file of weights holds them."""
    params = {
        name: {part: np.asarray(array) for part, array in layer.items()}
        for name, layer in vgg.params.items()
    }
    return Weights(
        params=params, architecture=vgg.architecture, preprocess=vgg.preprocess, format=vgg.name
    )


def print_tables(record: dict[str, Any]) -> None:
    """Prints both tables."""
    print_head("| format | file, MB | peak, MB |")
    for name, row in record["memory"].items():
        print(f"| {name} | {row['file'] / 1e6:.0f} | {row['peak'] / 1e6:.0f} |")
    layers = [name for name in record["errors"]["float32"] if name != "file"]
    print_head(f"| type | file | {' | '.join(layers)} |")
    for dtype, row in record["errors"].items():
        errors = " | ".join(f"{row[name]:.4f}" for name in layers)
        print(f"| {dtype} | {row['file'] / 1e6:.1f} MB | {errors} |")


def main() -> None:
    """Measures and prints the tables."""
    run_benchmark(__doc__, CONFIG, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
