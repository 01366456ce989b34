"""What needs several devices or processes runs in processes of its own: a device count is fixed when JAX begins."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_batch import make_vector

from dfi_jax import attribute, parallel
from dfi_jax.network.means import mean_features
from dfi_jax.photo.image import read
from dfi_jax.recipe import Recipe
from dfi_jax.network.weights import load_vgg

TESTS = Path(__file__).parent

STREAM = """
import sys, jax, jax.numpy as jnp, numpy as np
from dfi_jax.engine.problem import make_problem
from dfi_jax.engine.reconstruct import reconstruct
from dfi_jax.recipe import Recipe
from dfi_jax.network.vgg import features
from dfi_jax.network.weights import load_vgg
recipe = Recipe(layers=("conv1_2", "conv2_1"), size=16, iterations=12)
vgg = load_vgg("random-vgg16")
y, x = np.mgrid[:16, :16] / 16
waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in np.random.default_rng(0).random((21, 3)) * 2]
images = jnp.asarray(0.5 + 0.2 * np.reshape(waves, (7, 3, 16, 16)).transpose(0, 2, 3, 1), jnp.float32)
phi = features(vgg, images, layers=recipe.layers)
vector = {name: layer[1] - layer[2] for name, layer in phi.items()}
problem = make_problem(vgg, images, vector, jnp.linspace(-0.3, 0.5, 7), recipe=recipe)
result = reconstruct(vgg, problem, recipe=recipe, batch_size=int(sys.argv[2]))
np.savez(sys.argv[1], images=result.images, history=result.history, devices=jax.local_device_count())
"""


def environment(**settings):
    return os.environ | {"PYTHONPATH": str(TESTS.parent)} | settings


@pytest.mark.parametrize("batch_size", [4, 6])  # 6 places aren't 4 devices' worth: two stay empty
def test_four_devices_give_the_images_of_one(tmp_path, batch_size):
    found = {}
    for devices in (1, 4):
        path = tmp_path / f"{devices}.npz"
        flags = f"--xla_force_host_platform_device_count={devices}"
        run = [sys.executable, "-c", STREAM, path, str(batch_size)]
        subprocess.run(run, env=environment(XLA_FLAGS=flags), check=True, timeout=300)
        found[devices] = np.load(path)
        assert found[devices]["devices"] == devices
    np.testing.assert_allclose(found[4]["images"], found[1]["images"], atol=1e-3)
    np.testing.assert_allclose(found[4]["history"], found[1]["history"], rtol=1e-3)


def test_shares_of_the_work_are_all_of_it_once(monkeypatch):
    shares = []
    for index in range(3):
        monkeypatch.setattr("jax.process_index", lambda index=index: index)
        monkeypatch.setattr("jax.process_count", lambda: 3)
        shares.append(parallel.own(range(8)))
    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(count, command):
    """The same command as `count` processes that find each other over loopback."""
    address = f"127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            command,
            env=environment(
                JAX_COORDINATOR_ADDRESS=address, JAX_NUM_PROCESSES=str(count), JAX_PROCESS_ID=str(i)
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]


MEANS = """
import sys, numpy as np, jax
from dfi_jax import parallel
from dfi_jax.network.means import mean_features
from dfi_jax.network.weights import load_vgg
parallel.initialize()
images = np.random.default_rng(0).random((7, 16, 16, 3)).astype(np.float32)
own = np.stack(parallel.own(list(images)))
mean = mean_features(load_vgg("random-vgg16"), [own[:2], own[2:]], layers=("conv1_2", "conv2_1"), over_processes=True)
np.savez(f"{sys.argv[1]}/{jax.process_index()}.npz", **mean)
assert parallel.all_agree(True) and not parallel.all_agree(jax.process_index() == 0)
"""


def test_means_over_two_processes_are_those_of_one(tmp_path):
    for process in start(2, [sys.executable, "-c", MEANS, str(tmp_path)]):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    images = np.random.default_rng(0).random((7, 16, 16, 3)).astype(np.float32)
    expected = mean_features(load_vgg("random-vgg16"), [images], layers=("conv1_2", "conv2_1"))
    for i in range(2):
        found = np.load(tmp_path / f"{i}.npz")
        for name, layer in expected.items():
            np.testing.assert_allclose(found[name], layer, atol=1e-5 * float(np.abs(layer).max()))


def test_a_killed_process_is_started_again_and_nothing_is_lost_or_done_twice(photo, tmp_path):
    attribute.save(
        tmp_path / "smile.safetensors",
        make_vector(load_vgg("random-vgg16"), Recipe()),
        dtype="int8",
    )
    lines = [
        {
            "photo": photo.name,
            "vector": "smile.safetensors",
            "alphas": [0.1 * i + 0.1],
            "name": f"{i}",
        }
        for i in range(6)
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    options = ["--weights", "random-vgg16", "--iterations", "3", "--batch-size", "1", "--no-align"]
    dfi = [
        sys.executable,
        "-c",
        "from dfi_jax.cli import app; app()",
        "batch",
        str(tmp_path / "jobs.jsonl"),
    ]
    command = [*dfi, "--out", str(out), "--distributed", *options]

    first, second = start(2, command)
    deadline = time.monotonic() + 200
    while (
        not any((out / str(i) / "result.json").exists() for i in (1, 3))
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    for process in (
        second,
        first,
    ):  # 1, 3 and 5 are the second's; the runtime ends the first some time after it
        process.kill()
        process.communicate()
    written = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert written
    assert len(written) < 6
    for process in start(2, command):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert {path.parent.name for path in out.glob("*/result.json")} == set("012345")
    assert all(path.stat().st_mtime_ns == then for path, then in written.items())

    single = [*dfi, "--out", str(tmp_path / "single"), *options]
    subprocess.run(single, env=environment(), check=True, timeout=300, stdout=subprocess.DEVNULL)
    for i in range(6):
        name = f"alpha-{0.1 * i + 0.1:g}.png"
        np.testing.assert_allclose(
            read(out / str(i) / name), read(tmp_path / "single" / str(i) / name), atol=1.1 / 255
        )
