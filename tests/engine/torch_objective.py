"""The objective of a problem in PyTorch and float64: the independent reference for solvers.

It needs the extra `torch`.
"""

import numpy as np
import torch
from network.torch_vgg import activations


class TorchObjective:
    """½Σd² of one problem, as a function of the image in the network's units, in RGB."""

    def __init__(self, vgg, problem):
        self.vgg = vgg
        self.mean = np.array(vgg.preprocess.mean_rgb)
        std = vgg.preprocess.std[::-1] if vgg.preprocess.bgr else vgg.preprocess.std
        self.unit = np.array(std) / vgg.preprocess.scale
        self.start = (np.asarray(problem.start[0], np.float64) - self.mean) / self.unit
        self.target = {
            name: torch.from_numpy(np.asarray(layer, np.float64)).permute(0, 3, 1, 2)
            for name, layer in problem.target.items()
        }

    def image(self, u):
        """The image in [0, 1]."""
        return self.mean + self.unit * np.asarray(u).reshape(self.start.shape)

    def measure(self, u):
        """The objective of a tensor (h, w, 3), for autograd."""
        x = u.permute(2, 0, 1)[None]
        if self.vgg.preprocess.bgr:
            x = x.flip(1)
        found = activations(self.vgg.params, self.vgg.architecture, x, tuple(self.target))
        return sum(((found[name] - self.target[name]) ** 2).sum() / 2 for name in self.target)

    def value_and_gradient(self, u):
        """The objective and its gradient, in NumPy."""
        u = torch.tensor(np.asarray(u).reshape(self.start.shape), requires_grad=True)
        value = self.measure(u)
        value.backward()
        return value.item(), u.grad.numpy()
