"""Manifests and runs of them, as several tests need them."""

import json

from builders import LAYERS, small_recipe

from dfi_jax.manifest import run_jobs

RECIPE = small_recipe(size=32, iterations=2)
OPTIONS = [
    "--weights",
    "random-vgg16",
    "--set",
    f"features.layers={','.join(LAYERS)}",
    "--set",
    "features.size=32",
    "--set",
    "solver.iterations=2",
]


def write(folder, *jobs):
    text = "\n".join(job if isinstance(job, str) else json.dumps(job) for job in jobs)
    (folder / "jobs.jsonl").write_text(text)
    return folder / "jobs.jsonl"


def batch(folder, *options):
    return ["batch", folder / "jobs.jsonl", "-o", folder / "out", *OPTIONS, *options]


def run(editor, jobs, folder, **options):
    outcomes = []
    run_jobs(editor, jobs, folder, on_outcome=outcomes.append, **options)
    return outcomes


def record(folder):
    return json.loads((folder / "result.json").read_text())
