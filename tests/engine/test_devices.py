"""What needs several devices or processes runs in processes of its own.

The number of devices is fixed once JAX has begun.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from builders import LAYERS, make_vector, singles, small_recipe, steady_recipe
from commands import succeeds

from dfi_jax import features, load_vgg, make_problem, reconstruct
from dfi_jax.engine import devices
from dfi_jax.photo.photo import read

ROOT = Path(__file__).parents[2]

RECIPE = steady_recipe(iterations=12)

ON_FOUR_DEVICES = """
import json, sys, jax, numpy as np, dfi_jax
assert jax.local_device_count() == 4
given, recipe = np.load(sys.argv[1]), dfi_jax.Recipe.from_dict(json.loads(sys.argv[3]))
vgg = dfi_jax.load_vgg("random-vgg16")
vector = {name: given[name] for name in recipe.features.layers}
problem = dfi_jax.make_problem(vgg, given["images"], vector, given["alphas"], recipe=recipe)
# Two of the eight slots stay empty.
found = dfi_jax.reconstruct(vgg, problem, recipe=recipe, batch_size=6)
np.savez(sys.argv[2], images=found.images, history=found.history)
"""


def environment(**settings):
    return os.environ | {"PYTHONPATH": str(ROOT)} | settings


def test_four_devices_give_the_images_of_one_at_a_time(random_vgg, waves, tmp_path):
    images, alphas = waves[jnp.arange(7) % 3], jnp.linspace(-0.3, 0.5, 7)
    phi = features(random_vgg, waves, layers=LAYERS)
    vector = {name: layer[1] - layer[2] for name, layer in phi.items()}
    given, found = tmp_path / "given.npz", tmp_path / "found.npz"
    np.savez(given, images=images, alphas=alphas, **vector)
    run = [sys.executable, "-c", ON_FOUR_DEVICES, given, found, json.dumps(RECIPE.to_dict())]
    flags = "--xla_force_host_platform_device_count=4"
    subprocess.run(run, env=environment(XLA_FLAGS=flags), check=True, timeout=300)
    four = np.load(found)
    problem = make_problem(random_vgg, images, vector, alphas, recipe=RECIPE)
    alone = reconstruct(random_vgg, singles(problem), recipe=RECIPE, batch_size=1)
    for i, one in alone:
        np.testing.assert_allclose(four["images"][i], one.images[0], atol=1e-3)
        np.testing.assert_allclose(four["history"][i], one.history[0], rtol=1e-3)


class Accelerator:
    """A device with 100 bytes, if it tells, of which 30 are in use."""

    def __init__(self, tells):
        self.tells = tells

    def memory_stats(self):
        return {"bytes_limit": 100, "bytes_in_use": 30} if self.tells else None


def test_free_memory_is_what_is_not_in_use_if_the_device_tells(monkeypatch):
    for tells, free in ((True, 70), (False, 0)):
        device = Accelerator(tells)
        monkeypatch.setattr("jax.local_devices", lambda device=device: [device])
        assert devices.free_memory() == free


def start(count, command):
    """The same command as processes that are told which of them they are."""
    return [
        subprocess.Popen(
            command,
            env=environment(JAX_NUM_PROCESSES=str(count), JAX_PROCESS_ID=str(i)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]


def test_a_killed_process_harms_no_other_and_nothing_is_lost_or_done_twice(photo, tmp_path):
    # Each edit takes longer than looking for its result, so that the second process is killed
    # between two edits.
    recipe = small_recipe(size=64, iterations=12)
    make_vector(load_vgg("random-vgg16"), recipe).save(tmp_path / "smile.safetensors")
    alphas = [round(0.1 * i + 0.1, 1) for i in range(6)]
    lines = [
        {
            "photo": photo.name,
            "attribute": "smile.safetensors",
            "alphas": [alpha],
            "face": "whole",
            "name": f"{i}",
        }
        for i, alpha in enumerate(alphas)
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out, single = tmp_path / "out", tmp_path / "single"
    options = ["--weights", "random-vgg16", "--batch-size", "1"]
    for setting in ("layers=conv1_2,conv2_1", "size=64"):
        options += ["--set", f"features.{setting}"]
    batch = ["batch", str(tmp_path / "jobs.jsonl"), *options, "--set", "solver.iterations=12"]

    run = [sys.executable, "-m", "dfi_jax", *batch, "--out", str(out), "--distributed"]
    first, second = start(2, run)
    deadline = time.monotonic() + 200
    while not any((out / str(i) / "result.json").exists() for i in (1, 3)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Jobs 1, 3 and 5 are the second process's.
    second.kill()
    second.communicate()
    output, _ = first.communicate(timeout=300)
    assert first.returncode == 0, output
    written = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert {path.parent.name for path in written} >= set("024")
    assert len(written) < 6
    succeeds(*batch, "--out", out)
    assert {path.parent.name for path in out.glob("*/result.json")} == set("012345")
    assert all(path.stat().st_mtime_ns == then for path, then in written.items())

    succeeds(*batch, "--out", single)
    for i, alpha in enumerate(alphas):
        edited, alone = (read(folder / str(i) / f"alpha-{alpha:g}.png") for folder in (out, single))
        np.testing.assert_array_equal(edited, alone)
