"""Makes vgg.npz: features that PyTorch computes, against which the trunk is tested where PyTorch isn't installed.

    pip install torch==2.13.0
    python tests/references/make_vgg.py

Of each layer every `STEP`-th channel is kept, so that the file stays small.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_vgg import CASES, STEP, wave
from torch_vgg import torch_features

from dfi_jax.weights import load_vgg


def main() -> None:
    """Computes every case."""
    arrays = {}
    for network, size, layers in CASES:
        vgg = load_vgg(network)
        found = torch_features(vgg.params, vgg.architecture, wave(*size), layers)
        for layer in layers:
            arrays[f"{network} {size[0]}x{size[1]} {layer}"] = found[layer][..., ::STEP]
    path = Path(__file__).parent / "vgg.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
