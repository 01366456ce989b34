import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfi_jax import cache
from dfi_jax.errors import InputError


def numbers(value=1.0):
    return {"w": np.full((2, 3), value, np.float32), "scalar": np.asarray(value)}


def never():
    raise AssertionError


def test_what_was_computed_comes_back_bit_for_bit():
    first = cache.remember("means", {"a": 1}, numbers)
    again = cache.remember("means", {"a": 1}, never)
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].shape == array.shape


def test_anything_else_that_it_depends_on_is_something_else():
    cache.remember("means", {"a": 1, "b": [1, 2]}, numbers)
    for depends in ({"a": 2, "b": [1, 2]}, {"a": 1, "b": [2, 1]}, {"a": 1}):
        assert cache.remember("means", depends, lambda: numbers(5.0))["w"][0, 0] == 5


def test_a_damaged_file_is_computed_anew():
    cache.remember("means", {"a": 1}, numbers)
    (file,) = cache.usage()["means"].folder.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert cache.remember("means", {"a": 1}, lambda: numbers(2.0))["w"][0, 0] == 2
    assert cache.remember("means", {"a": 1}, never)["w"][0, 0] == 2


def test_a_cache_that_can_not_be_written_costs_only_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path / "file"))
    assert cache.remember("means", {"a": 1}, numbers)["w"][0, 0] == 1
    assert "isn't kept for the next time" in caplog.text


def test_usage_counts_and_clear_deletes_by_kind():
    cache.remember("means", {"a": 1}, numbers)
    cache.remember("probes", {"a": 1}, numbers)
    held = cache.usage()
    assert (held["means"].files, held["probes"].files, held["weights"].files) == (1, 1, 0)
    assert cache.clear(("means", "landmarks")) == held["means"].size
    assert cache.usage()["means"].files == 0
    assert cache.usage()["probes"].files == 1
    with pytest.raises(InputError, match="holds no 'dreams'; choose from means, probes"):
        cache.clear(("dreams",))


def test_a_full_disk_costs_only_time(caplog):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        found = cache.remember("means", {"a": 1}, lambda: {"w": np.ones(1000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert found["w"].sum() == 1000
    assert "isn't kept for the next time" in caplog.text
    assert cache.usage()["means"].files == 0


def _compute_once(folder):
    import os

    os.environ["DFI_JAX_CACHE"] = folder
    return [float(cache.remember("means", {"n": n}, lambda n=n: numbers(float(n)))["w"][0, 0]) for n in range(40)]


def test_processes_share_it_safely(tmp_path):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = pool.map(_compute_once, [str(tmp_path)] * 3)
    assert results == [list(range(40))] * 3
    assert sorted(path.suffix for path in (tmp_path / "means").iterdir()) == [".safetensors"] * 40


COMPILE = """
import jax, jax.numpy as jnp
from dfi_jax import cache
cache.keep_compiled(seconds=0)
jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((5, 6))).block_until_ready()
"""


def test_a_second_process_finds_what_the_first_has_compiled(tmp_path):
    def compile_once():
        environment = os.environ | {"DFI_JAX_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return {path.name for path in (tmp_path / "compiled").glob("*-cache")}

    first = compile_once()
    assert first
    assert compile_once() == first


def test_a_damaged_compiled_program_costs_only_time(tmp_path):
    environment = os.environ | {"DFI_JAX_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}

    def compile_once():
        done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    compile_once()
    kept = sorted((tmp_path / "compiled").glob("*-cache"))
    for path in kept:
        path.write_bytes(b"no program")
    compile_once()
    for path in (tmp_path / "compiled").glob("*-atime"):  # as where a process is killed between the two files
        path.unlink()
    compile_once()
    assert sorted((tmp_path / "compiled").glob("*-cache")) == kept
    assert all(path.read_bytes() != b"no program" for path in kept)


def test_a_folder_for_compiled_programs_that_the_user_names_is_theirs(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    monkeypatch.setattr("jax.config.update", None)
    cache.keep_compiled()
    assert not cache.usage()["compiled"].folder.exists()


def test_a_folder_for_compiled_programs_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    environment = os.environ | {"DFI_JAX_CACHE": str(tmp_path / "file"), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
