"""What the authors' Torch backend computes, in today's PyTorch: the rival of `throughput.py`, which runs it.

It is `torch.optim.LBFGS`, history 100, step 1, no line search, an evaluation an iteration; images and activations are
channels-last, everything is float32 without TF32, and on CUDA the objective is compiled. Arrays come and go as NumPy's,
images NHWC.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LAST = torch.channels_last

Objective = Callable[[torch.Tensor], torch.Tensor]
"""From images (n, h, w, 3) in the network's units to the sum of their losses."""

torch.set_num_threads(os.cpu_count() or 1)
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False


def make_objective(params: dict[str, Any], target: dict[str, Any], square_norms: dict[str, Any]) -> Objective:
    """Σ over layers of ½‖φ(z) − target‖²/‖φ(x)‖², the `relative` loss without total variation.

    Args:
      params: kernels (3, 3, ci, co) and biases by layer, as `VGG.params`, in the order of the network and up to the
        deepest layer of the target.
      target: of the loss, (n, h, w, c) a layer.
      square_norms: ‖φ(x)‖² by layer, (n,).
    """
    convolutions = {
        name: (_tensor(layer["kernel"]).permute(3, 2, 0, 1).contiguous(memory_format=LAST), _tensor(layer["bias"]))
        for name, layer in params.items()
    }
    wanted = {name: (_tensor(layer).permute(0, 3, 1, 2), _tensor(square_norms[name])) for name, layer in target.items()}

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


def value_and_gradient(
    objective: Objective, images: Any, *, mean: Any, std: Any
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """The value and its gradient by images in [0, 1], computed anew at every call, which waits for the device."""
    z = _tensor(images).requires_grad_()
    mean, std = _tensor(mean), _tensor(std)

    def evaluate() -> tuple[torch.Tensor, torch.Tensor]:
        z.grad = None
        total = objective((z - mean) / std)
        total.backward()
        _wait()
        return total.detach(), z.grad

    return evaluate


def iterate(
    objective: Objective, start: Any, *, mean: Any, std: Any, scaled: bool, iterations: int
) -> Iterator[tuple[float, float]]:
    """Seconds of each iteration of L-BFGS, and the loss at the point it was at.

    Args:
      objective: to lower.
      start: images in [0, 1].
      mean: of the network's images.
      std: of those.
      scaled: whether the unknown is the image in the network's units, as the authors have it, or in [0, 1].
      iterations: each of one evaluation.
    """
    mean, std = _tensor(mean), _tensor(std)
    z = _tensor(start)
    z = ((z - mean) / std if scaled else z).contiguous().requires_grad_()  # L-BFGS sees it as one flat vector
    solver = torch.optim.LBFGS([z], lr=1, history_size=100, max_iter=1, tolerance_grad=0, tolerance_change=0)

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = objective(z if scaled else (z - mean) / std)
        loss.backward()
        return loss

    for _ in range(iterations):
        started = time.perf_counter()
        loss = solver.step(closure)  # an iteration and an evaluation; its memory stays from step to step
        _wait()
        yield time.perf_counter() - started, float(loss.detach())


def _tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.array(array, np.float32), device=DEVICE)


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
