"""What Pillow doesn't read of an image's file: bits, colours, profiles and further data."""

import contextlib
import re
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

SRGB_GAMMA = 1 / 2.2
"""Gamma by which PNG files approximate sRGB."""

SRGB_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""White point and primaries of sRGB, (x, y) each, as PNG files state them."""

SRGB_CODES = ((1, 2), (1, 2, 6, 13, 14, 15))
"""Primaries and transfer functions of ITU-T H.273 that are those of sRGB, nearly, or unknown."""

PROFILED = {b"DEBM": "embedded", b"KNIL": "linked"}
"""Words for the colour profile of a BMP file, by the type of its colour space."""

BMP_HEADER, BMP_V5 = 14, 124
"""Where the second header of a BMP file begins, and the size of one that can name a profile."""

ICC_METHODS = (2, 3)
"""The methods by which a JPEG 2000 file states colours that are profiles."""

PREVIEW, DNG = 254, 50706
"""Tags of a TIFF file. The lowest bit of the first is set if the image is a reduced version of
another in the file; the second is the version of a raw photo (DNG)."""

PADDING = b"\0\xff \r\n"
"""Bytes that may follow a picture without being data."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")


def read_file(image: Image.Image) -> bytes:
    """Returns the file of an image that isn't decoded yet, or no bytes if it is closed.

    >>> read_file(Image.new("L", (40, 60)))
    b''
    """
    with contextlib.suppress(Exception):  # What Pillow has in place of a closed file may raise any.
        place = image.fp.tell()  # type: ignore[attr-defined]
        try:
            image.fp.seek(0)  # type: ignore[attr-defined]
            return image.fp.read()  # type: ignore[attr-defined]
        finally:
            image.fp.seek(place)  # type: ignore[attr-defined]
    return b""


def raw_mode(image: Image.Image) -> str:
    """Returns Pillow's name for the numbers in an undecoded image's file, such as `RGB;16B`."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    names = [each if isinstance(each, tuple) else (each,) for each in arguments]
    return next((str(each[0]) for each in names if each), "")


def read_profile(image: Image.Image, data: bytes) -> bytes | None:
    """Returns the colour profile of an image with the file's bytes, or None if it has none.

    Pillow knows the profiles of most formats, but not those of BMP and JPEG 2000.
    """
    profile = image.info.get("icc_profile")
    if image.format == "BMP" and _bmp_profile(data) == "embedded":
        place, size = struct.unpack_from("<II", data, BMP_HEADER + 112)
        profile = data[BMP_HEADER + place :][:size]
    if image.format == "JPEG2000":
        for name, content in _boxes(data):
            if name == b"colr" and content[:1] and content[0] in ICC_METHODS:
                profile = content[3:]
    # Other programs may have put anything there.
    return profile if isinstance(profile, bytes) and profile else None


def coding_losses(image: Image.Image, data: bytes) -> list[str]:
    """Returns sentences about what an edit of an undecoded image doesn't keep of its file's bytes.

    They are about more than 8 bits per channel, about colours that are stated by other means than a
    profile, and about further data.

    >>> coding_losses(Image.new("L", (40, 60)), b"")
    []
    """
    losses = []
    bits = _count_bits(image, data)
    if bits > 8 and image.mode not in ("I;16", "I", "F"):
        losses.append(f"the photo has {bits} bits per channel, and its edit has 8.")
    chunks = dict(_png_chunks(data)) if image.format == "PNG" else {}
    gamma = image.info.get("gamma", SRGB_GAMMA)
    primaries = image.info.get("chromaticity", SRGB_PRIMARIES)
    codes = chunks.get(b"cICP", b"")[:2]
    if image.format == "AVIF" and (found := re.search(rb"colrnclx(.{4})", data, re.DOTALL)):
        codes = found[1][1::2]
    if image.info.keys().isdisjoint({"srgb", "icc_profile"}) and not (
        np.allclose(gamma, SRGB_GAMMA, atol=0.01)
        and np.allclose(primaries, SRGB_PRIMARIES, atol=0.01)
        and all(code in same for code, same in zip(codes, SRGB_CODES, strict=False))
    ):
        losses.append(
            "the photo states its gamma or its primaries without a profile, and its edit doesn't."
        )
    if b"caBX" in chunks:
        losses.append("the photo has other data (caBX), and its edit has none.")
    if image.format == "BMP" and _bmp_profile(data) == "linked":
        losses.append("the photo's colour profile is in another file, and its edit has none.")
    if image.format == "JPEG2000" and {name for name, _ in _boxes(data)} & {b"uuid", b"xml "}:
        losses.append("the photo has other data, such as EXIF or XMP data, and its edit has none.")
    if image.format == "JPEG" and (rest := data[_jpeg_end(data) :].strip(PADDING)):
        losses.append(
            f"the photo's file has {len(rest):,} bytes after the picture, such as a video, and its "
            f"edit has none."
        )
    return losses


def is_preview(image: Image.Image, data: bytes) -> bool:
    """Returns whether an image is only the preview of a raw photo, the rest of which isn't read.

    Raw photos of most cameras are TIFF files whose first image is a small one.
    """
    tags = getattr(image, "tag_v2", {})
    kind = tags.get(PREVIEW, 0)
    smaller = isinstance(kind, int) and kind & 1
    return image.format == "TIFF" and bool(smaller or DNG in tags or data[8:10] == b"CR")


def _count_bits(image: Image.Image, data: bytes) -> int:
    """Returns the number of bits per channel in the file, or 8 if there aren't more."""
    if image.format == "PPM":
        arguments = [tile[3] for tile in getattr(image, "tile", [])]
        white = arguments[0][-1] if arguments and isinstance(arguments[0], tuple) else 255
        return max(8, white.bit_length()) if isinstance(white, int) else 8
    if image.format == "AVIF" and (found := re.search(rb"av1C..(.)", data, re.DOTALL)):
        flags = found[1][0]
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    # The image's size, its tiles' and the number of channels stand before their bits.
    if image.format == "JPEG2000" and (
        found := re.search(rb"\xff\x4f\xff\x51.{38}(.)", data, re.DOTALL)
    ):
        return max(8, (found[1][0] & 0x7F) + 1)
    # In a BMP file, a pixel of 16 bits has five or six for each channel.
    return 16 if "16" in raw_mode(image) and image.format != "BMP" else 8


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the name and the content of the chunks of a PNG file, except the pixels."""
    place = 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name = data[place + 4 : place + 8]
        if name != b"IDAT":
            yield name, data[place + 8 : place + 8 + length]
        place += 12 + length


def _bmp_profile(data: bytes) -> str | None:
    size = data[BMP_HEADER : BMP_HEADER + 4]
    if len(data) < BMP_HEADER + BMP_V5 or int.from_bytes(size, "little") < BMP_V5:
        return None
    return PROFILED.get(data[BMP_HEADER + 56 : BMP_HEADER + 60])


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the name and the content of the boxes of a JPEG 2000 file, except the pixels."""
    place = 0 if data[4:8] == b"jP  " else len(data)
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if length == 1:
            length, start = int.from_bytes(data[start : start + 8]), start + 8
        if name == b"jp2h":  # It consists of boxes.
            place = start
            continue
        if length < start - place:  # Zero stands for a box that reaches to the end of the file.
            return
        if name != b"jp2c":
            yield name, data[start : place + length]
        place += length


def _jpeg_end(data: bytes) -> int:
    """Returns where the first picture of a JPEG file ends."""
    place = 2
    while found := _MARKER.search(data, place):
        if found[1] == b"\xd9":
            return found.end()
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return len(data)
