"""Pictures, their edits, and files of them that Pillow can't write."""

import struct
import zlib

import numpy as np
from PIL import Image

from dfi_jax.photo.photo import Photo, save

BOX = (slice(10, 20), slice(15, 30))


def picture(mode="RGB"):
    """A smooth picture of 40 × 60 with all kinds of colours."""
    y, x = np.mgrid[:40, :60]
    channels = np.stack([4 * x, 6 * y, 255 - 2 * (x + y)], axis=-1).astype(np.uint8)
    return Image.fromarray(channels).convert(mode)


def brighter(pixels):
    """The same photo with a lighter rectangle."""
    after = pixels.copy()
    after[BOX] = np.clip(after[BOX] + 0.2, 0, 1)
    return after


def edit_file(path, out):
    """Edits a file and returns the edit as a decoder sees it."""
    photo = Photo.open(path)
    save(out, photo.edited(brighter(photo.pixels)), original=photo.original)
    with Image.open(out) as image:
        image.load()
        return image


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_16_bits(path, values, more=()):
    """Writes colours of 16 bits as a PNG file, which Pillow can't, with more chunks."""
    height, width, _ = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = {b"IHDR": header, **dict(more), b"IDAT": zlib.compress(rows), b"IEND": b""}
    written = b"".join(png_chunk(*chunk) for chunk in chunks.items())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + written)
