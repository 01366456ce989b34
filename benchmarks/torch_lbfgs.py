"""PyTorch's side of `throughput.py`: the solver of the DFI authors' Torch backend.

The solver is `torch.optim.LBFGS` with history 100, step 1, no line search, and one evaluation per
iteration. Images and activations are channels-last, everything is float32 without TF32, and on CUDA
the objective is compiled. Arguments are NumPy arrays, and images are NHWC.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHANNELS_LAST = torch.channels_last

Objective = Callable[[torch.Tensor], torch.Tensor]
"""A function of images (n, h, w, 3) in the network's units that returns the sum of their losses."""

torch.set_num_threads(os.cpu_count() or 1)
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False


def make_objective(
    params: dict[str, Any], target: dict[str, Any], square_norms: dict[str, Any]
) -> Objective:
    """Returns Σ over layers of ½‖φ(z) − target‖²/‖φ(x)‖², the loss `relative`.

    Args:
      params: Kernels (3, 3, in, out) and biases by layer, as in `VGG.params`, in the order of the
        network and up to the deepest layer of the target.
      target: Target of each layer, (n, h, w, c).
      square_norms: ‖φ(x)‖² of each layer, (n,).
    """
    convolutions = {
        name: (
            _tensor(layer["kernel"]).permute(3, 2, 0, 1).contiguous(memory_format=CHANNELS_LAST),
            _tensor(layer["bias"]),
        )
        for name, layer in params.items()
    }
    wanted = {
        name: (_tensor(layer).permute(0, 3, 1, 2), _tensor(square_norms[name]))
        for name, layer in target.items()
    }

    def objective(z: torch.Tensor) -> torch.Tensor:
        x, total = z.permute(0, 3, 1, 2), torch.zeros((), device=DEVICE)
        for name, (kernel, bias) in convolutions.items():
            if name.endswith("_1") and name != "conv1_1":
                x = torch.nn.functional.max_pool2d(x, 2)
            x = torch.relu(torch.nn.functional.conv2d(x, kernel, bias, padding=1))
            if name in wanted:
                layer, norm = wanted[name]
                total = total + (((x - layer) ** 2).sum((1, 2, 3)) / (2 * norm)).sum()
        return total

    return torch.compile(objective) if DEVICE == "cuda" else objective


def make_value_and_gradient(
    objective: Objective, images: Any, *, mean: Any, std: Any
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Returns a function that computes the value and its gradient, and waits for the device.

    Both stay on the device, as JAX's do: the gradients of 64 faces are 31 MB.

    Args:
      objective: Function to evaluate.
      images: Images in [0, 1], with respect to which the gradient is taken.
      mean: Mean of the network's images.
      std: Standard deviation of the network's images.
    """
    z = _tensor(images).requires_grad_()
    mean, std = _tensor(mean), _tensor(std)

    def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
        z.grad = None
        total = objective((z - mean) / std)
        total.backward()
        _wait()
        assert z.grad is not None
        return total.detach(), z.grad

    return evaluate


def iterate(
    objective: Objective, start: Any, *, mean: Any, std: Any, scaled: bool, iterations: int
) -> Iterator[tuple[float, float]]:
    """Yields the seconds of each iteration of L-BFGS, and the loss at the point it started from.

    Args:
      objective: Function to minimise.
      start: Images in [0, 1].
      mean: Mean of the network's images.
      std: Standard deviation of the network's images.
      scaled: Whether the unknown is the image in the network's units, as in the authors' code,
        rather than in [0, 1].
      iterations: Number of iterations, each of one evaluation.
    """
    mean, std = _tensor(mean), _tensor(std)
    z = _tensor(start)
    # L-BFGS sees the images as one flat vector, so they are contiguous.
    z = ((z - mean) / std if scaled else z).contiguous().requires_grad_()
    solver = torch.optim.LBFGS(
        [z], lr=1, history_size=100, max_iter=1, tolerance_grad=0, tolerance_change=0
    )

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = objective(z if scaled else (z - mean) / std)
        loss.backward()
        return loss

    for _ in range(iterations):
        started = time.perf_counter()
        loss = solver.step(closure)  # This is one iteration; the solver keeps its pairs.
        _wait()
        yield time.perf_counter() - started, float(loss.detach())


def describe() -> str:
    """Returns PyTorch's version and device."""
    return f"{torch.__version__} on {DEVICE}, float32 without TF32"


def _tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.array(array, np.float32), device=DEVICE)


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
