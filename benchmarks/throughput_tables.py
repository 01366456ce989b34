"""The tables and the plot of a record of `throughput.py`."""

from pathlib import Path
from typing import Any

import numpy as np
from timing import describe_quartiles, print_head, print_machine


def print_tables(record: dict[str, Any]) -> None:
    """Prints everything that is measured."""
    config = record["config"]
    print_machine(record["machine"])
    ratio = "PyTorch over dfi_jax"
    print_head(f"| value and gradient | dfi_jax, s | PyTorch, s | {ratio} | differ by |")
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
    queues = {row["problems"]: row["seconds"] for row in record["queues"]}
    for n, seconds in queues.items():
        print(f"| {n} | {describe_quartiles(seconds)} |")
    one, five = queues[1], queues[5]
    ratios = [5 * b / a for a, b in zip(one, five, strict=True)]
    print(f"\nFive take {describe_quartiles(ratios)} times as long as one.")
    print_head("| height and width | s per iteration |")
    sizes, taken = (
        np.array([row[name] for row in record["sizes"]]) for name in ("size", "seconds")
    )
    for size, seconds in zip(sizes, taken, strict=True):
        print(f"| {size} | {seconds:.3f} |")
    power = np.polyfit(2 * np.log(sizes), np.log(taken), 1)[0]
    print(f"\nSeconds grow as pixels to the power {power:.2f}.")
    size, peak = config["peak_size"], record["peak_bytes"] / 1e9
    print(f"Peak memory at {size} × {size}: {peak:.2f} GB.")


def draw_plot(path: Path, record: dict[str, Any]) -> None:
    """Draws seconds against size, and losses against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes, taken = ([row[name] for row in record["sizes"]] for name in ("size", "seconds"))
    left.loglog(sizes, taken, "o-")
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
