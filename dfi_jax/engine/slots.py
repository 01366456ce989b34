"""A batch whose slots are filled with problems, stepped together, and freed one by one."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dfi_jax.engine import descent, devices
from dfi_jax.engine.problem import Problem
from dfi_jax.network.vgg import VGG
from dfi_jax.recipe import Recipe


class Reconstruction(NamedTuple):
    """The solutions of a batch of problems.

    Attributes:
      images: z, the image that the solver returns: the best of each problem, or the last. It is in
        [0, 1] with the bounds `ValidPixels`, otherwise possibly outside.
      objective: The objective at z.
      history: The objective of the image that would be returned after each evaluation. Once a
        problem has ended, it stays constant in a batch and stops in a queue.
      iterations: Number of iterations of each problem.
      evaluations: Number of evaluations of each problem. It is the number of iterations, except
        that a solver that returns the last image evaluates that image too, and that a line search
        takes several evaluations.
    """

    images: Float[np.ndarray, "n h w 3"]
    objective: Float[np.ndarray, " n"]
    history: Float[np.ndarray, "n i"]
    iterations: Int[np.ndarray, " n"]
    evaluations: Int[np.ndarray, " n"]


class InFlight(NamedTuple):
    """The problems that the devices are working on. Arrays have one entry for each of them.

    Attributes:
      indices: Positions of the problems in the queue, counted from 0.
      iterations: Number of evaluations of each problem so far, or of iterations of `LBFGSB`.
      objective: The objective of the image of each problem that would be returned.
      images: These images.
    """

    indices: list[int]
    iterations: Int[np.ndarray, " s"]
    objective: Float[np.ndarray, " s"]
    images: Float[np.ndarray, "s h w 3"]


class Slots:
    """The slots of a batch, spread over the devices of this process.

    `step` starts work and returns at once; `look` waits for it. Images stay on the devices until
    they are wanted: those of 64 problems are 31 MB, and no device works while they are copied.
    """

    def __init__(self, vgg: VGG, singles: Sequence[tuple[int, Problem]], *, recipe: Recipe) -> None:
        """Fills one slot with each problem, and adds empty slots until devices have equally many.

        Args:
          vgg: The network.
          singles: Positions in the queue, and problems of length 1.
          recipe: The recipe of all of them.
        """
        self._recipe = recipe
        count = min(len(singles), jax.local_device_count())
        self._mesh = devices.make_mesh(count)
        self._vgg = devices.replicate(vgg, self._mesh)
        self._indices = {slot: index for slot, (index, _) in enumerate(singles)}
        problems = [single for _, single in singles]
        problems += problems[-1:] * (-len(singles) % count)
        # Slots are filled in donated arrays, and for a single problem `concatenate` returns the
        # caller's own arrays, so the batch is a copy.
        batch = jax.tree.map(lambda *leaves: jnp.array(jnp.concatenate(leaves)), *problems)
        self._problem = devices.shard(batch, self._mesh)
        # Otherwise, a state that doesn't fit into memory makes the first look wait for ever on a
        # CPU (jax 0.10.2).
        state = jax.block_until_ready(descent.begin(self._problem, recipe=recipe))
        empty = jnp.arange(len(problems)) >= len(singles)
        self._descent = devices.shard(state._replace(done=empty), self._mesh)
        self.look()

    @property
    def occupied(self) -> int:
        """Number of slots that hold a problem."""
        return len(self._indices)

    @property
    def remaining(self) -> Int[np.ndarray, " s"]:
        """Largest number of evaluations that each problem still needs."""
        return self._recipe.solver.evaluations - self._evaluations[list(self._indices)]

    def step(self, count: int) -> None:
        """Starts a number of evaluations of every problem."""
        self._descent = descent.advance(
            self._vgg, self._problem, self._descent, count, recipe=self._recipe, mesh=self._mesh
        )

    def look(self) -> None:
        """Waits for the devices, and learns how far each problem is."""
        counts = jax.device_get((self._descent.iterations, self._descent.done))
        # On a CPU they are views of the state, which the next step overwrites.
        self._evaluations, self._done = map(np.array, counts)

    def in_flight(self) -> InFlight:
        """Returns the state of the problems at the last look."""
        rows = list(self._indices)
        objective, images = jax.device_get((self._descent.value, self._descent.best))
        return InFlight(
            list(self._indices.values()), self._evaluations[rows], objective[rows], images[rows]
        )

    def take_finished(self) -> list[tuple[int, Reconstruction]]:
        """Frees the slots of problems that had ended at the last look, and returns the results."""
        slots = [slot for slot in self._indices if self._done[slot]]
        if not slots:
            return []
        now = self._descent
        images, objective, history = jax.device_get((now.best, now.value, now.history))
        return [
            (
                self._indices.pop(slot),
                Reconstruction(
                    images=images[[slot]],
                    objective=objective[[slot]],
                    history=history[[slot], : self._evaluations[slot]],
                    iterations=self._evaluations[[slot]] - self._recipe.solver.returns_last,
                    evaluations=self._evaluations[[slot]],
                ),
            )
            for slot in slots
        ]

    def fill(self, index: int, single: Problem) -> None:
        """Puts a problem of length 1 into a free slot."""
        slot = next(slot for slot in range(len(self._done)) if slot not in self._indices)
        single = devices.replicate(single, self._mesh)
        self._problem, self._descent = devices.shard(
            descent.fill(
                self._problem, self._descent, single, jnp.asarray(slot), recipe=self._recipe
            ),
            self._mesh,
        )
        self._indices[slot] = index
        self._evaluations[slot] = 0

    def shrink(self) -> None:
        """Gives up free slots if there is one device and at least half of its slots are free.

        The number that remains is a power of two. Each number of slots has a program of its own, so
        all queues share a few of them.
        """
        if len(self._mesh.devices) > 1 or not self._indices:
            return
        count = 1 << (self.occupied - 1).bit_length()
        if count <= len(self._done) // 2:
            free = [slot for slot in range(len(self._done)) if slot not in self._indices]
            slots = [*self._indices, *free][:count]
            self._problem, self._descent = descent.keep(
                self._problem, self._descent, jnp.array(slots)
            )
            self._evaluations, self._done = self._evaluations[slots], self._done[slots]
            self._indices = dict(enumerate(self._indices.values()))
