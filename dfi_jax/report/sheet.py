"""Contact sheets: labelled images side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from dfi_jax.errors import InputError
from dfi_jax.photo.image import resize, to_bytes

CELL = 300
"""Height, in pixels, of an image on a contact sheet."""

WIDEST = 10 * CELL
"""Maximum width of an image on a sheet. An image that would be wider is less high."""

_MARGIN, _LABEL_HEIGHT, _FONT_SIZE = 8, 30, 18


def contact_sheet(
    images: Sequence[Float[np.ndarray, "_ _ 3"]],
    labels: Sequence[str],
    *,
    columns: int | None = None,
) -> Image.Image:
    """Draws images side by side on white, each 300 pixels high with its label above it.

    Images that are more than ten times as wide as high are less high.

    >>> contact_sheet([np.zeros((60, 40, 3)), np.ones((60, 40, 3))], ["before", "after"]).size
    (424, 346)

    Args:
      images: Images of the same shape, RGB in [0, 1].
      labels: Label of each image.
      columns: Number of images in a row. None puts all of them in one row.

    Raises:
      InputError: If there are no images, their shapes differ, or labels are missing.
    """
    if len(images) != len(labels) or not images:
        raise InputError(
            f"the sheet has {len(images)} images and {len(labels)} labels; "
            "give at least one image, and a label for each."
        )
    if len({image.shape for image in images}) > 1:
        raise InputError("the sheet's images have different shapes; resize them to one.")
    if columns is not None and columns < 1:
        raise InputError(f"the sheet has {columns} columns; give 1 or more.")
    columns = columns or len(images)
    height, width = images[0].shape[:2]
    scale = min(CELL / height, WIDEST / width)
    cell_height, cell_width = (max(1, round(side * scale)) for side in (height, width))
    step_x, step_y = cell_width + _MARGIN, cell_height + _LABEL_HEIGHT + _MARGIN
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, rows * step_y + _MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(_font_path()), _FONT_SIZE)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        x, y = _MARGIN + i % columns * step_x, _MARGIN + i // columns * step_y
        middle = x + cell_width / 2, y + _LABEL_HEIGHT / 2
        draw.text(middle, label, fill="black", font=font, anchor="mm")
        cell = to_bytes(resize(image, (cell_height, cell_width)))
        sheet.paste(Image.fromarray(cell), (x, y + _LABEL_HEIGHT))
    return sheet


def _font_path() -> Path:
    """Returns the path of a font with Greek letters, which Pillow's default font lacks."""
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
