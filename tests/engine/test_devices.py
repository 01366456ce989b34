"""What needs several devices or processes runs in processes of its own.

The number of devices is fixed once JAX has begun.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from builders import LAYERS, make_vector, small_recipe

from dfi_jax import load_vgg
from dfi_jax.engine import devices
from dfi_jax.photo.photo import read

ROOT = Path(__file__).parents[2]

RECONSTRUCT = """
import sys, jax, jax.numpy as jnp, numpy as np, dfi_jax
recipe = dfi_jax.Recipe().set({
    "features.layers": "conv1_2,conv2_1", "features.size": "16", "solver.iterations": "12",
    # With the default recipe's gain and penalties, the random network enlarges float32's rounding.
    "vector": "unit_times_phi", "solver.preconditioner.base_penalty": "0",
    "solver.preconditioner.fine_penalty": "3", "solver.preconditioner.chroma_penalty": "1"})
vgg = dfi_jax.load_vgg("random-vgg16")
y, x = np.mgrid[:16, :16] / 16
waves = [np.sin(2 * np.pi * (a * x + b * y + c))
         for a, b, c in np.random.default_rng(0).random((21, 3)) * 2]
pictures = 0.5 + 0.2 * np.reshape(waves, (7, 3, 16, 16)).transpose(0, 2, 3, 1)
images = jnp.asarray(pictures, jnp.float32)
phi = dfi_jax.features(vgg, images, layers=recipe.features.layers)
vector = {name: layer[1] - layer[2] for name, layer in phi.items()}
alphas = jnp.linspace(-0.3, 0.5, 7)
problem = dfi_jax.make_problem(vgg, images, vector, alphas, recipe=recipe)
for size in (4, 6):  # With 6, two of eight slots on four devices stay empty.
    result = dfi_jax.reconstruct(vgg, problem, recipe=recipe, batch_size=size)
    np.savez(f"{sys.argv[1]}-{size}.npz", images=result.images, history=result.history,
             devices=jax.local_device_count())
"""


def environment(**settings):
    return os.environ | {"PYTHONPATH": str(ROOT)} | settings


def test_four_devices_give_the_images_of_one(tmp_path):
    for count in (1, 4):
        flags = f"--xla_force_host_platform_device_count={count}"
        run = [sys.executable, "-c", RECONSTRUCT, tmp_path / str(count)]
        subprocess.run(run, env=environment(XLA_FLAGS=flags), check=True, timeout=300)
    for batch_size in (4, 6):
        one, four = (np.load(tmp_path / f"{count}-{batch_size}.npz") for count in (1, 4))
        assert (one["devices"], four["devices"]) == (1, 4)
        np.testing.assert_allclose(four["images"], one["images"], atol=1e-3)
        np.testing.assert_allclose(four["history"], one["history"], rtol=1e-3)


class Accelerator:
    """A device with 100 bytes, if it tells, of which 30 are in use."""

    def __init__(self, tells):
        self.tells = tells

    def memory_stats(self):
        return {"bytes_limit": 100, "bytes_in_use": 30} if self.tells else None


def test_free_memory_is_what_is_not_in_use_or_the_device_s_share_of_the_machine_s(monkeypatch):
    pages = {"SC_AVPHYS_PAGES": 21, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    monkeypatch.setattr("jax.local_device_count", lambda: 3)
    for tells, free in ((True, 70), (False, 7 * 4096)):
        device = Accelerator(tells)
        monkeypatch.setattr("jax.local_devices", lambda device=device: [device])
        assert devices.free_memory() == free


def start(command, index):
    """A command as one of two processes that share its work."""
    return subprocess.Popen(
        command,
        env=environment(JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(index)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_killed_process_harms_no_other_and_nothing_is_lost_or_done_twice(photo, tmp_path):
    # Edits of 25 iterations take long enough for a process to be killed between two of them.
    recipe = small_recipe(size=100)
    make_vector(load_vgg("random-vgg16"), recipe).save(tmp_path / "smile.safetensors", dtype="int8")
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
    out = tmp_path / "out"
    options = ["--weights", "random-vgg16", "--batch-size", "1"]
    for change in ("layers=" + ",".join(LAYERS), "size=100"):
        options += ["--set", f"features.{change}"]
    options += ["--set", "solver.iterations=25"]
    dfi = [sys.executable, "-m", "dfi_jax", "batch", str(tmp_path / "jobs.jsonl"), *options]
    command = [*dfi, "--out", str(out), "--distributed"]

    first, second = start(command, 0), start(command, 1)
    deadline = time.monotonic() + 200
    while not any((out / str(i) / "result.json").exists() for i in (1, 3)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Jobs 1, 3 and 5 are the second process's.
    second.kill()
    second.communicate()
    output, _ = first.communicate(timeout=300)
    assert first.returncode == 0, output
    written = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert {path.parent.name for path in written} >= set("024")
    assert len(written) < 6
    # The first process has no more to do, so only the second is started again.
    second = start(command, 1)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    assert {path.parent.name for path in out.glob("*/result.json")} == set("012345")
    assert all(path.stat().st_mtime_ns == then for path, then in written.items())

    single = [*dfi, "--out", str(tmp_path / "single")]
    subprocess.run(single, env=environment(), check=True, timeout=300, stdout=subprocess.DEVNULL)
    for i, alpha in enumerate(alphas):
        name = f"alpha-{alpha:g}.png"
        edited, alone = (read(folder / str(i) / name) for folder in (out, tmp_path / "single"))
        np.testing.assert_array_equal(edited, alone)
