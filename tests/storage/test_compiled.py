import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from dfi_jax.storage import compiled
from dfi_jax.storage.cache import Cache

COMPILE = """
import jax, jax.numpy as jnp
from dfi_jax.storage.cache import Cache
Cache().keep_compiled(seconds=0)
jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((5, 6))).block_until_ready()
"""


def compile_once(cache, **settings):
    """Runs a process that compiles a program, and returns the contents of all stored ones."""
    environment = os.environ | {
        "DFI_JAX_CACHE": str(cache),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    environment |= settings
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {path.name: path.read_bytes() for path in (cache / "compiled").glob("*-cache")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose programs this process keeps in order, though JAX doesn't use it."""
    monkeypatch.setattr("jax.config.update", lambda *_: None)
    monkeypatch.setattr("warnings.filterwarnings", lambda *_: None)
    return tmp_path


def write_program(folder, name, *, size=100, used=0):
    """Writes what could be a program, used some hours ago."""
    path = folder / f"jit_{name}-cache"
    path.write_bytes(zlib.compress(os.urandom(size)))
    os.utime(path, (time.time() - 3600 * used,) * 2)
    return path


def test_a_second_process_reuses_compiled_programs_of_the_first(tmp_path):
    first = compile_once(tmp_path)
    assert first
    assert compile_once(tmp_path) == first
    # A lock would let one process hold up all others.
    assert not (tmp_path / "compiled" / ".lockfile").exists()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b""])
def test_a_program_that_was_cut_short_is_compiled_again_and_stored_whole(tmp_path, damage):
    whole = compile_once(tmp_path)
    for name, data in whole.items():
        (tmp_path / "compiled" / name).write_bytes(damage(data))
    again = compile_once(tmp_path)
    assert again.keys() == whole.keys()
    assert all(zlib.decompress(data) for data in again.values())


def test_only_programs_written_since_the_last_check_are_read(folder, monkeypatch):
    read = []
    monkeypatch.setattr(
        compiled, "_is_whole", lambda path: read.append(path.name) or path.name != "jit_bad-cache"
    )
    write_program(folder, "old", used=3)
    compiled.keep(folder, seconds=1.0)
    write_program(folder, "new")
    bad = write_program(folder, "bad")
    last = (folder / compiled.CHECKED).stat().st_mtime_ns
    os.utime(bad, ns=(last, last))  # A clock of two seconds doesn't tell them apart.
    compiled.keep(folder, seconds=1.0)
    assert sorted(read) == ["jit_bad-cache", "jit_new-cache", "jit_old-cache"]
    assert not bad.exists()


def test_what_cannot_be_a_program_is_left_alone_and_what_cannot_be_read_deleted(
    folder, monkeypatch
):
    (folder / "folder-cache").mkdir()
    (folder / "link-cache").symlink_to("nowhere")
    os.mkfifo(folder / "pipe-cache")
    shut = write_program(folder, "shut")
    read = Path.read_bytes

    def read_bytes(path):
        if path == shut:
            raise PermissionError
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    compiled.keep(folder, seconds=1.0)
    left = {path.name for path in folder.iterdir()}
    assert left == {"folder-cache", "link-cache", "pipe-cache", compiled.CHECKED}


def test_the_least_recently_used_programs_are_deleted_first(folder, monkeypatch):
    paths = [write_program(folder, str(used), size=1000, used=used) for used in range(5)]
    monkeypatch.setattr(compiled, "LARGEST", 3 * paths[0].stat().st_size)
    compiled.keep(folder, seconds=1.0)
    assert [path.exists() for path in paths] == [True] * 3 + [False] * 2


def test_programs_that_another_process_deletes_meanwhile_are_passed_over(folder, monkeypatch):
    path = write_program(folder, "gone")
    found = compiled._programs(folder)
    path.unlink()
    monkeypatch.setattr(compiled, "_programs", lambda _: found)
    for largest in (0, 1000):
        monkeypatch.setattr(compiled, "LARGEST", largest)
        compiled.keep(folder, seconds=1.0)
        (folder / compiled.CHECKED).unlink()  # It exists, so the check came to its end.


def test_a_folder_for_compiled_programs_that_the_user_has_set_is_respected(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    monkeypatch.setattr("jax.config.update", None)
    Cache(tmp_path / "cache").keep_compiled()
    assert not (tmp_path / "cache").exists()


def test_a_program_that_took_a_second_to_compile_is_stored(tmp_path, monkeypatch):
    set_to = {}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setattr("jax.config.update", set_to.__setitem__)
    monkeypatch.setattr("warnings.filterwarnings", lambda *_: None)
    Cache(tmp_path / "new").keep_compiled()
    assert set_to["jax_persistent_cache_min_compile_time_secs"] == 1
    assert set_to["jax_compilation_cache_dir"] == str(tmp_path / "new" / "compiled")


@pytest.mark.parametrize("setting", ["DFI_JAX_CACHE", "JAX_COMPILATION_CACHE_DIR"])
def test_a_folder_for_compiled_programs_that_cannot_be_made_is_not_an_error(tmp_path, setting):
    (tmp_path / "file").write_text("no folder")
    assert compile_once(tmp_path, **{setting: str(tmp_path / "file")}) == {}
