"""The tables and the plot of a record of `throughput.py`."""

from pathlib import Path
from typing import Any

import numpy as np
from timing import describe_quartiles, print_head, print_machine


def print_tables(record: dict[str, Any]) -> None:
    """Prints everything that is measured."""
    config = record["config"]
    print_machine(record["machine"])
    print_head("| value and gradient | ours, s | PyTorch, s | PyTorch over ours | differ by |")
    for row in record["steps"]:
        ours = f"| {row['network']}, {row['images']} at once | {describe_quartiles(row['seconds'])}"
        if "ratios" in row:
            theirs, ratio = map(describe_quartiles, (row["torch_seconds"], row["ratios"]))
            differ = f"{row['value_differs']:.0e}, {row['gradient_differs']:.0e}"
            print(f"{ours} | {theirs} | {ratio} | {differ} |")
        else:
            print(f"{ours} | | | |")
    first = record["steps"][0]
    print(
        f"\n{first['network']}, {first['images']} at once: {first['gflops']:.0f} GFLOP/s, counted "
        f"as direct convolution does; a product of matrices has {record['product_gflops']:.0f}."
    )
    if (run := record["to_loss"]) is not None:
        print_head("| to a loss | iterations | s per iteration |")
        print(f"| PyTorch | {run['torch_iterations']} | {run['torch_seconds']:.3f} |")
        needed = run["iterations"] or f"more than {config['largest']}"
        print(f"| dfi_jax | {needed} | {run['seconds']:.3f} |")
        ratio = "none" if run["ratio"] is None else f"{run['ratio']:.2f}"
        print(
            f"\n{run['network']}, loss {run['loss']:.5f}; PyTorch's unknown is in "
            f"{run['unknown']}. "
            f"Our time over PyTorch's: {ratio}, without {run['compilation']:.0f} s of compilation."
        )
    print_head("| problems in a queue | s per iteration and problem |")
    for n, seconds in record["queues"].items():
        print(f"| {n} | {describe_quartiles(seconds)} |")
    one, five = (record["queues"][n] for n in (1, 5))
    ratios = [5 * b / a for a, b in zip(one, five, strict=True)]
    print(f"\nFive take {describe_quartiles(ratios)} times as long as one.")
    print_head("| height and width | s per iteration |")
    for size, taken in record["sizes"].items():
        print(f"| {size} | {taken:.3f} |")
    pixels, taken = np.log(list(record["sizes"])) * 2, np.log(list(record["sizes"].values()))
    print(f"\nSeconds grow as pixels to the power {np.polyfit(pixels, taken, 1)[0]:.2f}.")
    size, peak = config["peak_size"], record["peak_bytes"] / 1e9
    print(f"Peak memory at {size} × {size}: {peak:.2f} GB.")


def draw_plot(path: Path, record: dict[str, Any]) -> None:
    """Draws seconds against size, and losses against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(list(record["sizes"]), list(record["sizes"].values()), "o-")
    network = record["steps"][0]["network"]
    left.set(xlabel="height and width, pixels", ylabel="seconds per iteration", title=network)
    if (run := record["to_loss"]) is not None:
        for name, (seconds, losses) in run["curves"].items():
            right.plot(seconds, losses, label=name)
        right.axhline(run["loss"], color="gray", linewidth=0.5)
        right.set(xlabel="seconds", ylabel="objective", title=run["network"])
        right.set_ylim(0.98 * run["loss"], 1.2 * run["loss"])
        right.legend()
    figure.savefig(path, dpi=120)
