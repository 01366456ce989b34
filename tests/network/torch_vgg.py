"""VGG in PyTorch, written from its paper: the independent reference for the network.

It needs the extra `torch`.
"""

import numpy as np
import torch
import torch.nn.functional as F

BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def torch_features(params, architecture, images, layers, *, ceil_mode=False):
    """Computes post-ReLU activations, NHWC, of NHWC RGB images in [0, 1], as torchvision does.

    Tensors keep their gradient, and give tensors; arrays give arrays.
    """
    if isinstance(images, np.ndarray):
        with torch.no_grad():
            found = torch_features(
                params, architecture, torch.from_numpy(images), layers, ceil_mode=ceil_mode
            )
        return {name: layer.numpy() for name, layer in found.items()}
    x = (images - torch.tensor(MEAN)) / torch.tensor(STD)
    x = x.permute(0, 3, 1, 2).contiguous()
    found = activations(params, architecture, x, layers, ceil_mode=ceil_mode)
    return {name: layer.permute(0, 2, 3, 1) for name, layer in found.items()}


def activations(params, architecture, x, layers, *, ceil_mode=False):
    """Computes post-ReLU activations, NCHW, of the network's input, in its precision."""
    found = {}
    for block, count in enumerate(BLOCKS[architecture], 1):
        if block > 1:
            x = F.max_pool2d(x, 2, 2, ceil_mode=ceil_mode)
        for i in range(1, count + 1):
            name = f"conv{block}_{i}"
            kernel = torch.from_numpy(np.array(params[name]["kernel"])).permute(3, 2, 0, 1)
            bias = torch.from_numpy(np.array(params[name]["bias"]))
            x = F.relu(F.conv2d(x, kernel.contiguous().to(x), bias.to(x), padding=1))
            if name in layers:
                found[name] = x
        if len(found) == len(layers):
            break
    return found
