"""Makes vgg.npz: features computed by PyTorch, for tests of the network without PyTorch.

    pip install torch==2.13.0
    python tests/references/make_vgg.py

Only every `STEP`-th channel of each layer is stored, to keep the file small.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from network.test_vgg import CASES, REFERENCES, STEP, wave
from network.torch_vgg import torch_features

from dfi_jax.network.weights import load_vgg


def main() -> None:
    """Computes and stores the features of every case."""
    arrays = {}
    for network, size, layers in CASES:
        vgg = load_vgg(network)
        found = torch_features(vgg.params, vgg.architecture, wave(*size), layers)
        for layer in layers:
            arrays[f"{network} {size[0]}x{size[1]} {layer}"] = found[layer][..., ::STEP]
    np.savez_compressed(REFERENCES, **arrays)
    print(f"{REFERENCES}: {REFERENCES.stat().st_size} bytes")


if __name__ == "__main__":
    main()
