"""What weights cost: memory while a full-size VGG-19 is read, by format, and what half-size numbers do to features.

    python experiments/weights_cost.py LFW_DIR

Each format's file is written as its own tool writes it, 575 MB with fully connected layers, and read in a process of
its own, whose peak is the most memory that it has had over what it had with every library imported. The features are
those of ten faces of LFW. Needs the extra `convert` and a Linux kernel, which counts the memory.
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import scipy.io
import torch

from dfi_jax.data import lfw
from dfi_jax.data.dataset import Dataset
from dfi_jax.network.vgg import features
from dfi_jax.network.weights import caffe, formats, load_vgg

DENSE = {"fc6": (4096, 25088), "fc7": (4096, 4096), "fc8": (1000, 4096)}
FACES = 10
SIZE = 200

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def full_network() -> Arrays:
    """Kernels, OIHW, and biases of all convolutions and of the fully connected layers."""
    params = load_vgg("random-vgg19").params
    arrays = {
        name: (np.asarray(p["kernel"]).transpose(3, 2, 0, 1), np.asarray(p["bias"])) for name, p in params.items()
    }
    rng = np.random.default_rng(0)
    return arrays | {name: (rng.random(shape, np.float32), np.zeros(shape[0], np.float32))
                     for name, shape in DENSE.items()}  # fmt: skip


def state_dict(network: Arrays) -> dict[str, np.ndarray]:
    """By torchvision's names."""
    names = {layer: f"features.{i}" for layer, i in formats.torchvision_indices("vgg19").items()}
    names |= {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    tensors = {}
    for layer, (kernel, bias) in network.items():
        tensors[f"{names[layer]}.weight"] = np.ascontiguousarray(kernel)
        tensors[f"{names[layer]}.bias"] = bias
    return tensors


def write_safetensors(path: Path, network: Arrays) -> None:
    """As torchvision's weights are converted."""
    safetensors.numpy.save_file(state_dict(network), path)


def write_pytorch(path: Path, network: Arrays, *, archive: bool = True) -> None:
    """As `torch.save` writes, in the format of today or of before 1.6."""
    tensors = {name: torch.tensor(array) for name, array in state_dict(network).items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=archive)


def write_old_pytorch(path: Path, network: Arrays) -> None:
    """As PyTorch wrote before 1.6."""
    write_pytorch(path, network, archive=False)


def write_keras(path: Path, network: Arrays) -> None:
    """As Keras 2 wrote."""
    with h5py.File(path, "w") as file:
        for layer, (kernel, bias) in network.items():
            name = f"block{layer[4]}_conv{layer[6]}" if layer.startswith("conv") else layer
            file[f"{name}/{name}_W_1:0"] = kernel.T if kernel.ndim == 2 else kernel.transpose(2, 3, 1, 0)
            file[f"{name}/{name}_b_1:0"] = bias


def write_matconvnet(path: Path, network: Arrays) -> None:
    """As MatConvNet writes."""
    layers = []
    for layer, (kernel, bias) in network.items():
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = kernel.reshape(*kernel.shape[:2], *(kernel.shape[2:] or (1, 1))).T, bias[:, None]
        layers.append({"name": layer, "type": "conv", "weights": weights})
    cells = np.empty((1, len(layers)), object)
    cells[0] = layers
    scipy.io.savemat(path, {"layers": cells})


def write_caffe(path: Path, network: Arrays) -> None:
    """As Caffe writes."""
    net = caffe.message("NetParameter")(name="VGG")
    for layer, arrays in network.items():
        written = net.layer.add(name=layer)
        for array in arrays:
            blob = written.blobs.add(data=array.ravel())
            blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


WRITERS: dict[str, tuple[str, Callable[[Path, Arrays], None]]] = {
    "Keras": ("vgg19.h5", write_keras),
    "Caffe": ("vgg19.caffemodel", write_caffe),
    "PyTorch (zip)": ("vgg19.pth", write_pytorch),
    "safetensors": ("vgg19.safetensors", write_safetensors),
    "MatConvNet": ("vgg19.mat", write_matconvnet),
    "PyTorch before 1.6": ("old.pth", write_old_pytorch),
}


def memory(kind: str) -> int:
    """Bytes of the process, now (`VmRSS`) or at most so far (`VmHWM`)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[kind].split()[0]) * 1024


def peak_of_reading(path: Path) -> int:
    """Bytes that reading takes at most, above what the process had."""
    before = memory("VmRSS")
    formats.read(path)
    return memory("VmHWM") - before


def report_memory() -> None:
    """Prints the peak for each format."""
    network = full_network()
    print("| format | file, MB | peak, MB |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for kind, (name, write) in WRITERS.items():
            path = Path(folder, name)
            write(path, network)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak = pool.apply(peak_of_reading, (path,))
            print(f"| {kind} | {path.stat().st_size / 1e6:.0f} | {peak / 1e6:.0f} |", flush=True)
            path.unlink()


def report_numbers(dataset: Dataset) -> None:
    """Prints the relative error of the features for each dtype."""
    rows = np.linspace(0, len(dataset) - 1, FACES).astype(int)
    faces = jnp.asarray(np.stack([dataset.face(int(row), SIZE) for row in rows]))
    vgg = load_vgg("vgg16")
    params: Any = {name: {part: np.asarray(array) for part, array in p.items()} for name, p in vgg.params.items()}
    weights = formats.Weights(params, vgg.architecture, vgg.preprocess, "")
    expected = features(vgg, faces)
    print(f"\n| dtype | file | {' | '.join(expected)} |\n{'| --- ' * (2 + len(expected))}|")
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float16", "bfloat16"):
            path = Path(folder, "vgg16.safetensors")
            formats.write(path, weights, dtype=dtype, deepest="conv5_1")
            found = features(load_vgg(path), faces)
            errors = [jnp.linalg.norm(found[name] - phi) / jnp.linalg.norm(phi) for name, phi in expected.items()]
            print(f"| {dtype} | {path.stat().st_size / 1e6:.1f} MB | {' | '.join(f'{e:.4f}' for e in errors)} |")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path, help="the folder with lfw_attributes.txt and lfw-deepfunneled")
    dataset = lfw.load(parser.parse_args().lfw)
    report_memory()
    report_numbers(dataset)


if __name__ == "__main__":
    main()
