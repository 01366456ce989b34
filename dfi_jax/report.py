"""Results to look at: a labelled contact sheet, and the objective by iteration as a plot."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from dfi_jax.files import replacing
from dfi_jax.image import resize, to_bytes

CELL = 300
"""Height of an image on a contact sheet, in pixels."""

FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""Matplotlib's own; Pillow's default font has no Greek letters."""

_MARGIN, _LABEL = 8, 30


def contact_sheet(
    images: Sequence[Float[np.ndarray, "_ _ 3"]], labels: Sequence[str], *, columns: int | None = None
) -> Float[np.ndarray, "_ _ 3"]:
    """The images side by side on white, each 300 pixels high with its label above it.

    Args:
      images: all of one shape.
      labels: one an image.
      columns: images in a row; all by default.
    """
    columns = columns or len(images)
    height, width = images[0].shape[:2]
    cell = (CELL, max(1, round(width * CELL / height)))
    step_y, step_x = cell[0] + _LABEL + _MARGIN, cell[1] + _MARGIN
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, rows * step_y + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(FONT), 18)
    for i, (picture, label) in enumerate(zip(images, labels, strict=True)):
        x, y = _MARGIN + i % columns * step_x, _MARGIN + i // columns * step_y
        draw.text((x + cell[1] / 2, y + _LABEL / 2), label, fill="black", font=font, anchor="mm")
        sheet.paste(Image.fromarray(to_bytes(resize(picture, cell))), (x, y + _LABEL))
    return np.asarray(sheet, np.float32) / 255


def write_loss_curves(path: Path, history: Float[np.ndarray, "n i"], labels: Sequence[str]) -> None:
    """Plots each problem's objective by iteration into a PNG. Raises FileError where it can't be written."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    for curve, label in zip(history, labels, strict=True):
        axes.plot(np.arange(1, len(curve) + 1), curve, label=label)
    axes.set(xlabel="evaluations", ylabel="objective", yscale="log" if np.any(history > 0) else "linear")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
