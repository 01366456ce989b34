"""L-BFGS without a safeguard, in NumPy and float64, from the formulas of the originals."""

import numpy as np


def reference(gradient, x, *, count, first, memory=5, floor=1e-5, relaxation=1.0):
    """The points from the start on, in float64, and the number of pairs that were remembered."""
    points, pairs, scale, last, kept = [x], [], 1.0, None, 0
    for _ in range(count):
        g = gradient(x)
        if last is not None:
            s, y = x - last[0], g - last[1]
            if y @ s > 1e-10:
                pairs, kept = [*pairs, (s, y)][-memory:], kept + 1
                scale = (y @ s) / (y @ y)
        q, stack = g.copy(), []
        for s, y in reversed(pairs):
            rho = 1 / max(y @ s, floor)
            stack.append((rho, rho * (s @ q)))
            q -= stack[-1][1] * y
        q *= scale
        for s, y in pairs:
            rho, a = stack.pop()
            q += (a - rho * (y @ q)) * s
        length = relaxation
        if first == "unit" and last is None:
            length *= min(1, 1 / np.abs(g).sum())
        last, x = (x, g), x - length * q
        points.append(x)
    return np.array(points), kept
