"""The recipes of the published systems: target, objective and steps, from their formulas.

Everything here is recomputed in float64, with PyTorch's VGG. The systems' own files state the
formulas: docs/recipes.md names them.
"""

import jax.numpy as jnp
import numpy as np
import pytest
from engine.numpy_lbfgs import reference

from dfi_jax import RECIPES, features, make_problem, objective, reconstruct
from dfi_jax.network.weights.catalog import CAFFE, TORCHVISION
from dfi_jax.recipe.preparation import prepare_images

torch = pytest.importorskip("torch")
optimize = pytest.importorskip("scipy.optimize")

from network.torch_vgg import activations  # noqa: E402

LAYERS = ("conv1_2", "conv2_1")
SMALL = {"features.layers": ",".join(LAYERS), "features.size": "25"}
"""Layers and a size at which the rounding of pooled sizes shows."""

SYSTEMS = ("chainer-dfi", "paper", "paper-torch", "dfi-tensorflow")
ALPHA = 0.4


class System:
    """One system's problem, from its formulas. `u` is the image in the network's units, RGB."""

    def __init__(self, name, vgg):
        self.name = name
        self.recipe = RECIPES[name].set(SMALL)
        kind = self.recipe.features.network
        self.vgg = vgg.replace(
            preprocess=TORCHVISION if name == "paper-torch" else CAFFE,
            normalized=kind == "normalized",
        )
        rng = np.random.default_rng(SYSTEMS.index(name))
        smooth = np.repeat(np.repeat(rng.uniform(size=(7, 5, 5, 3)), 5, axis=1), 5, axis=2)
        crops = (smooth + rng.normal(0, 0.05, smooth.shape)).clip(0, 1).astype(np.float32)
        self.images = prepare_images(
            crops, self.recipe.features.preparation, self.vgg.preprocess.mean_rgb
        )
        self.vector = self.difference(self.images[1:4], self.images[4:])
        self.problem = make_problem(
            self.vgg, self.images[:1], self.vector, [ALPHA], recipe=self.recipe
        )
        # Pixels of one colour, as in a margin, have ties in the pooling, and whose gradient passes
        # is anybody's choice.
        noise = rng.normal(0, 0.05, self.problem.start.shape).astype(np.float32)
        self.problem = self.problem._replace(start=self.problem.start + noise)
        self.mean = np.array(self.vgg.preprocess.mean_rgb)
        std = np.array(self.vgg.preprocess.std)
        self.unit = std / self.vgg.preprocess.scale
        self.start = (np.asarray(self.problem.start[0], np.float64) - self.mean) / self.unit

    def difference(self, target, source):
        """The difference of the mean features of two sets, as the package computes it."""
        stage = self.recipe.features
        found = [
            stage.normalize(
                features(self.vgg, images, layers=LAYERS, pool_rounding=stage.pool_rounding)
            )
            for images in (target, source)
        ]
        return {name: found[0][name].mean(axis=0) - found[1][name].mean(axis=0) for name in LAYERS}

    def units(self, image):
        return torch.tensor((np.asarray(image, np.float64) - self.mean) / self.unit)

    def image(self, u):
        return self.mean + self.unit * np.asarray(u).reshape(self.start.shape)

    def phi(self, u):
        """The features of an image, by layer, as vectors."""
        x = u.permute(2, 0, 1)[None]
        if self.vgg.preprocess.bgr:
            x = x.flip(1)
        ceil = self.name in ("chainer-dfi", "paper")
        found = activations(self.vgg.params, self.vgg.architecture, x, LAYERS, ceil_mode=ceil)
        flat = {name: found[name].permute(0, 2, 3, 1).ravel() for name in LAYERS}
        if self.name == "dfi-tensorflow":
            norm = torch.sqrt(sum((layer**2).sum() for layer in flat.values()))
            flat = {name: layer / norm for name, layer in flat.items()}
        return flat

    def w(self, phi):
        """The vector of one photo, from the mean features of both sets in float64."""
        sets = [
            [self.phi(self.units(image)) for image in images]
            for images in (self.images[1:4], self.images[4:])
        ]
        means = [{n: sum(each[n] for each in s) / len(s) for n in LAYERS} for s in sets]
        w = {name: means[0][name] - means[1][name] for name in LAYERS}
        squares = sum((layer**2).sum() for layer in w.values())
        if self.name == "chainer-dfi":
            return {
                n: v / torch.sqrt((v**2).sum()) * torch.sqrt((phi[n] ** 2).sum())
                for n, v in w.items()
            }
        if self.name == "dfi-tensorflow":
            return {name: layer / torch.sqrt(squares) for name, layer in w.items()}
        return {
            n: layer * sum(each.numel() for each in w.values()) / squares for n, layer in w.items()
        }

    def target(self):
        """φ(x) + αw."""
        phi = self.phi(self.units(self.images[0]))
        w = self.w(phi)
        return {name: phi[name] + ALPHA * w[name] for name in LAYERS}

    def measure(self, u, target):
        """The function that the system minimises."""
        phi = self.phi(u)
        squares = {name: ((phi[name] - target[name]) ** 2) for name in LAYERS}
        down, right = u[1:] - u[:-1], u[:, 1:] - u[:, :-1]
        if self.name == "chainer-dfi":
            variation = 100 * ((down**2).sum() + (right**2).sum()) / (3 * 200 * 200)
            return sum(layer.mean() for layer in squares.values()) + variation
        total = sum(layer.sum() for layer in squares.values()) / 2
        if self.name == "dfi-tensorflow":
            rgb = 255 * (torch.tensor(self.mean) + torch.tensor(self.unit) * u)
            sums = torch.nn.functional.pad(rgb.sum(dim=2), (0, 1, 0, 1))
            gradients = (sums[1:, :-1] - sums[:-1, :-1]) ** 2 + (
                sums[:-1, 1:] - sums[:-1, :-1]
            ) ** 2
            beyond = torch.relu(-rgb).mean() + torch.relu(rgb - 255).mean()
            return total + 0.001 * gradients.sum() / (255 * rgb.numel()) + beyond
        inner = (down[:, :-1] ** 2 + right[:-1] ** 2).clamp(min=1e-3).sum()
        return total / 3 + 0.001 * inner if self.name == "paper" else 2 * total + 10 * inner

    def value_and_gradient(self, u):
        u = torch.tensor(np.asarray(u).reshape(self.start.shape), requires_grad=True)
        value = self.measure(u, self.target())
        value.backward()
        return value.item(), u.grad.numpy().ravel()

    def three_steps(self):
        """The image after three steps of the system's own solver."""
        u = self.start.ravel()
        if self.name == "chainer-dfi":
            points, _ = reference(
                lambda u: self.value_and_gradient(u)[1], u, count=3, first="gradient"
            )
            return self.image(points[-1])
        if self.name == "paper":
            limits = np.broadcast_to(np.array([-128.0, 162.0]), (u.size, 2))
            found = optimize.minimize(
                self.value_and_gradient,
                u,
                jac=True,
                method="L-BFGS-B",
                bounds=limits,
                options={"maxiter": 3, "maxcor": 10},
            )
            return self.image(found.x)
        if self.name == "paper-torch":
            parameter = torch.nn.Parameter(torch.tensor(self.start))
            solver = torch.optim.LBFGS([parameter], max_iter=3, max_eval=9, history_size=100)
            target = self.target()

            def closure():
                solver.zero_grad()
                value = self.measure(parameter, target)
                value.backward()
                return value

            solver.step(closure)
            return self.image(parameter.detach().numpy())
        m, v = np.zeros_like(u), np.zeros_like(u)
        for t in range(1, 4):
            gradient = self.value_and_gradient(u)[1]
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            rate = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            u = u - rate * m / (np.sqrt(v) + 1e-8)
        return self.image(u)


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request, random_vgg):
    return System(request.param, random_vgg)


def test_the_target_is_the_system_s(system):
    for name, expected in system.target().items():
        found = np.asarray(system.problem.target[name]).ravel()
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * expected.abs().max())


def test_the_objective_is_the_system_s(system):
    rng = np.random.default_rng(0)
    z = system.problem.start + rng.normal(0, 0.05, system.problem.start.shape).astype(np.float32)
    z = z.at[0, :3].add(1.0).at[0, 3:6].add(-1.0)  # Pixels outside, too.
    expected = system.measure(system.units(z[0]), system.target()).item()
    found = objective(system.vgg, jnp.asarray(z), system.problem, recipe=system.recipe)
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_three_steps_are_the_system_s(system):
    recipe = system.recipe.set({"solver.iterations": "3"})
    found = reconstruct(system.vgg, system.problem, recipe=recipe).images[0]
    distance = np.abs(found - system.three_steps())
    # Adam makes every step equally long, so the sign of a gradient that float32 can't tell from 0
    # counts as much as any other. The Torch backend's first step is so short that the change of the
    # gradient is mostly rounding, and the third step may then meet other maxima of the pooling:
    # noise of 1e-7 in the reference's own gradients moves 1 % of values by 1e-5, some by 4e-4.
    share = {"dfi-tensorflow": 0.95, "paper-torch": 0.95}.get(system.name, 1.0)
    assert np.quantile(distance, share) < 1e-5
    assert np.abs(found - system.problem.start[0]).max() > 1e-3
