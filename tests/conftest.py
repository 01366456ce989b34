"""Fixtures that tests share. Shapes and types of every function are checked as it is called."""

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

from jaxtyping import install_import_hook

# The hook has to come before the package is imported. The recipe isn't checked, because it checks
# its own fields, with errors for its users.
CHECKED = "data editor engine manifest network photo report storage vectors"
install_import_hook([f"dfi_jax.{room}" for room in CHECKED.split()], "beartype.beartype")

# Compilation is most of the work of the tests, so they share compiled programs with each other and
# with the commands that they start. JAX reads these settings when it is imported.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    programs = tempfile.mkdtemp(prefix="dfi-jax-tests-")
    atexit.register(shutil.rmtree, programs, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import dfi_jax

# Types and ranks of arrays are converted where the code says so, and nowhere else.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Batches are shared between devices, as on a machine with several accelerators. The tests of
# `engine/test_reconstruction.py` got equally far in 41 seconds of processor time with two devices
# and in 42 with one, compilation included (2 cores, jax 0.10.2).
jax.config.update("jax_num_cpu_devices", 2)

PEOPLE = 24
ATTRIBUTES = ("Male", "Smiling", "Mouth Slightly Open", "Eyeglasses")
LFW = Path(__file__).parents[2] / "shared" / "lfw"


def pytest_addoption(parser):
    """Adds the options of `tests/fuzz`."""
    parser.addoption("--cases", type=int, default=500, help="number of damaged files to read")
    parser.addoption("--case", metavar="KIND-NUMBER", help="damaged file to read, such as photo-7")


@pytest.fixture(scope="session")
def lfw_folder(tmp_path_factory):
    """A folder laid out as LFW is, with two images of each of 24 people, half of whom smile."""
    root = tmp_path_factory.mktemp("lfw")
    rng = np.random.default_rng(0)
    lines = ["# made for tests", "\t".join(["#", "person", "imagenum", *ATTRIBUTES])]
    for i in range(PEOPLE):
        person = f"Person Number{i}"
        folder = root / "lfw-deepfunneled" / person.replace(" ", "_")
        folder.mkdir(parents=True)
        for number in (1, 2):
            smiling = 1.0 if i % 2 else -1.0
            scores = [1.0, smiling, smiling + (0.1 * number), -0.4]
            cells = [f"{score + 0.01 * i:.3f}" for score in scores]
            lines.append("\t".join([person, str(number), *cells]))
            noise = rng.integers(0, 255, (25, 25, 3), dtype=np.uint8)
            picture = Image.fromarray(noise).resize((250, 250), Image.Resampling.BICUBIC)
            picture.save(folder / f"{person.replace(' ', '_')}_{number:04d}.jpg")
    (root / "lfw_attributes.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session", autouse=True)
def heeded_interruption():
    """Ctrl-C counts, even if the tests run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache folder for each test, so that none finds what another or a user has computed."""
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def without_faces(monkeypatch):
    """The extra `faces` counts as missing, whether it is installed or not."""
    monkeypatch.setattr("dfi_jax.photo.faces.installed", lambda: False)


@pytest.fixture
def photo(tmp_path):
    """A photo of nobody, 120 × 140."""
    noise = np.random.default_rng(0).integers(0, 256, (7, 6, 3), dtype=np.uint8)
    path = tmp_path / "me.png"
    Image.fromarray(noise).resize((120, 140), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="session")
def random_vgg():
    """VGG-16 with random filters."""
    return dfi_jax.load_vgg("random-vgg16")


@pytest.fixture(scope="session")
def waves():
    """Three smooth pictures of 16 × 16, a few waves each."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16] / 16
    found = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.random((9, 3)) * 2]
    pictures = 0.5 + 0.2 * np.reshape(found, (3, 3, 16, 16)).transpose(0, 2, 3, 1)
    return jnp.asarray(pictures, jnp.float32)


@pytest.fixture
def real_lfw():
    """The folder of real photos, if there is one."""
    if not LFW.is_dir():
        pytest.skip("needs LFW's photos beside the repository")
    return LFW
