import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfi_jax.errors import FileError, InputError
from dfi_jax.storage.cache import Cache, default_folder, remember


def numbers(value=1.0):
    return {"w": np.full((2, 3), value, np.float32), "scalar": np.asarray(value)}


def never():
    raise AssertionError


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_a_stored_result_comes_back_bit_for_bit(cache):
    first = cache.remember("means", {"a": 1}, numbers)
    again = cache.remember("means", {"a": 1}, never)
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].shape == array.shape


def test_without_a_cache_every_result_is_computed(cache):
    for value in (1.0, 2.0):
        assert remember(None, "means", {"a": 1}, lambda v=value: numbers(v))["w"][0, 0] == value
    for value in (1.0, 2.0):
        assert remember(cache, "means", {"a": 1}, lambda v=value: numbers(v))["w"][0, 0] == 1


def test_without_a_home_folder_nothing_is_stored(monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    for name in ("DFI_JAX_CACHE", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown_user(_):
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown_user)
    cache = Cache()
    for value in (1.0, 2.0):
        assert cache.remember("means", {}, lambda v=value: numbers(v))["w"][0, 0] == value
    assert "couldn't be stored in the cache" in caplog.text
    monkeypatch.setattr("jax.config.update", None)
    cache.keep_compiled()
    assert cache.usage()["means"].files == 0
    assert not list(tmp_path.iterdir())


def test_the_cache_is_in_the_user_s_own_folder_by_default(monkeypatch, tmp_path):
    for name in ("DFI_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_folder().name == "dfi_jax"
    assert Path.home() in default_folder().parents
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert default_folder() == tmp_path / "dfi_jax"


def test_the_environment_can_name_the_folder(monkeypatch):
    monkeypatch.setenv("DFI_JAX_CACHE", "~/faces")
    assert Cache().folder == default_folder() == Path.home() / "faces"


def test_a_result_with_other_dependencies_is_another_result(cache):
    cache.remember("means", {"a": 1, "b": [1, 2]}, numbers)
    for depends in ({"a": 2, "b": [1, 2]}, {"a": 1, "b": [2, 1]}, {"a": 1}):
        assert cache.remember("means", depends, lambda: numbers(5.0))["w"][0, 0] == 5
    assert cache.remember("means", {"b": [1, 2], "a": 1}, never)["w"][0, 0] == 1


@pytest.mark.parametrize("damage", [lambda data: data[:50], lambda data: data[:-1] + b"\x7f"])
def test_a_damaged_file_is_computed_again(cache, damage):
    cache.remember("means", {"a": 1}, numbers)
    (file,) = cache.usage()["means"].folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert cache.remember("means", {"a": 1}, lambda: numbers(2.0))["w"][0, 0] == 2
    assert cache.remember("means", {"a": 1}, never)["w"][0, 0] == 2


def test_a_pipe_in_place_of_a_result_is_not_waited_for(cache):
    cache.remember("means", {"a": 1}, numbers)
    (file,) = cache.usage()["means"].folder.iterdir()
    file.unlink()
    os.mkfifo(file)
    assert cache.remember("means", {"a": 1}, lambda: numbers(2.0))["w"][0, 0] == 2
    assert cache.remember("means", {"a": 1}, never)["w"][0, 0] == 2


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file")
    assert cache.remember("means", {"a": 1}, numbers)["w"][0, 0] == 1
    assert "couldn't be stored in the cache" in caplog.text


def test_usage_counts_and_clear_deletes_by_kind(cache):
    cache.remember("means", {"a": 1}, numbers)
    cache.remember("probes", {"a": 1}, numbers)
    held = cache.usage()
    assert (held["means"].files, held["probes"].files, held["weights"].files) == (1, 1, 0)
    assert cache.clear(("means", "landmarks")) == held["means"].size
    assert cache.usage()["means"].files == 0
    assert cache.usage()["probes"].files == 1
    with pytest.raises(InputError, match="has no kind 'dreams'; choose from means, probes"):
        cache.clear(("dreams",))


def test_a_result_that_cannot_be_deleted_is_one_sentence(cache, monkeypatch):
    cache.remember("means", {"a": 1}, numbers)

    def refuse(path, missing_ok):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(FileError, match=r"can't be deleted \(Permission denied\); delete it your"):
        cache.clear(["means"])


def test_a_file_that_another_process_deletes_meanwhile_is_not_counted(cache, monkeypatch):
    monkeypatch.setattr(Cache, "_files", lambda self, kind: [self.folder / kind / "gone"])
    assert cache.usage()["means"][1:] == (0, 0)
    assert cache.clear(["means"]) == 0


def test_a_full_disk_costs_only_time(cache, caplog):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        found = cache.remember("means", {"a": 1}, lambda: {"w": np.ones(1000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert found["w"].sum() == 1000
    assert "couldn't be stored in the cache" in caplog.text
    assert cache.usage()["means"].files == 0


REMEMBER = """
import sys, numpy as np
from pathlib import Path
from dfi_jax.storage.cache import Cache
cache = Cache(Path(sys.argv[1]))
for n in range(40):
    assert cache.remember("means", {"n": n}, lambda: {"w": np.full(1000, n)})["w"].sum() == 1000 * n
"""


def test_processes_can_share_a_cache(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = [sys.executable, "-c", REMEMBER, str(tmp_path)]
    processes = [subprocess.Popen(run, env=environment) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0] * 3
    assert sorted(path.suffix for path in (tmp_path / "means").iterdir()) == [".safetensors"] * 40
