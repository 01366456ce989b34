"""Data about a photo: what an edit keeps of it, and what it loses.

An edit keeps EXIF and XMP data, the texts of a PNG file, a comment and the resolution. Everything
else is reported. What Pillow doesn't read of it is in `photo.container`.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, PngImagePlugin

ORIENTATION = 0x0112
"""Number of the EXIF tag that says how a photo is turned."""

STRUCTURE = (
    *range(254, 260),
    *(262, 266, 273),
    *range(277, 282),
    *(284, 317, 320),
    *range(322, 326),
    *(330, 338, 339, 347),
    *range(512, 522),
    *range(529, 533),
)
"""Numbers of the EXIF tags of a TIFF file that say how its pixels are stored."""

X_RESOLUTION = 282
"""Number of the EXIF tag that holds the resolution."""

PHOTOSHOP = 34377
"""Number of the EXIF tag that holds Photoshop's data in a TIFF file."""

ELSEWHERE = (700, PHOTOSHOP, 34675, 37724)
"""Numbers of the EXIF tags of a TIFF file that hold other data: XMP, Photoshop's, the profile."""

POINTERS = (0x8769, 0x8825)
"""Numbers of the EXIF tags that say where further tags are in the file."""

SIZE = (40962, 40963)
"""Numbers of the EXIF tags that hold the width and the height. A turn by 90° exchanges them."""

IPTC = 0x0404
"""Number of the resource in a JPEG file's Photoshop data that holds IPTC data."""

LARGEST_DPI = 65_535
"""Largest resolution that a JPEG file can hold, in pixels per inch."""

LONGEST = {"exif": 65_533, "xmp": 65_504, "comment": 65_533}
"""Maximum number of bytes of data in a JPEG file."""

NOUNS = {"exif": "EXIF data", "xmp": "XMP data", "comment": "comment"}
"""Words for such data."""

KNOWN_SEGMENTS = (
    *(b"JFIF\0", b"JFXX\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"),
    *(b"MPF\0", b"Photoshop 3.0\0", b"Adobe", b"Ducky"),
)
"""Beginnings of the segments of a JPEG file that are kept, reported, or about its pixels alone."""

_TURNED = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]")
_OTHER_PICTURES = re.compile(
    rb"hdr-gain-map|HDRGainMap|google\.com/photos/1\.0/(?:container|depthmap|camera|image|audio)"
    rb"|HasExtendedXMP"
)


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The data about a photo that an edit keeps.

    Attributes:
      exif: EXIF data, with the orientation *upright*, or no bytes.
      xmp: XMP data, with the orientation *upright*, or no bytes.
      texts: Name and value of each text.
      comment: Comment, or no bytes.
      dpi: Horizontal and vertical resolution in pixels per inch, or None.
    """

    exif: bytes = b""
    xmp: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()
    comment: bytes = b""
    dpi: tuple[float, float] | None = None

    def options(self, format: Literal["PNG", "JPEG"]) -> dict[str, Any]:
        """Returns options of Pillow's `save`, without what the format can't hold.

        >>> Metadata(comment=b"me", texts=(("Author", "Ann"),)).options("JPEG")
        {'comment': b'me'}
        """
        if format == "JPEG":
            held = {name: getattr(self, name) for name in LONGEST}
            return {name: data for name, data in held.items() if 0 < len(data) <= LONGEST[name]}
        chunks = PngImagePlugin.PngInfo()
        for name, text in self.texts:
            chunks.add_text(name, text)
        if self.comment:
            chunks.add_text("Comment", self.comment.decode("utf-8", "replace"))
        if self.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", self.xmp.decode())
        return {"pnginfo": chunks} | ({"exif": self.exif} if self.exif else {})

    def losses(self, format: Literal["PNG", "JPEG"]) -> list[str]:
        """Returns sentences about what the format can't hold.

        >>> Metadata(texts=(("Author", "Ann"),)).losses("JPEG")
        ["the photo has texts, which a JPEG file can't hold; its edit has none."]
        """
        if format == "PNG":
            return []
        kept = self.options(format)
        losses = [
            f"the photo's {noun} is too long for a JPEG file, and its edit has none."
            for name, noun in NOUNS.items()
            if getattr(self, name) and name not in kept
        ]
        if self.texts:
            losses.append("the photo has texts, which a JPEG file can't hold; its edit has none.")
        return losses


def read_metadata(image: Image.Image) -> tuple[Metadata, int, list[str]]:
    """Returns a decoded image's data, its orientation, and sentences about what an edit loses.

    >>> metadata, orientation, losses = read_metadata(Image.new("L", (40, 60)))
    >>> metadata == Metadata(), orientation, losses
    (True, 1, [])
    """
    exif, orientation = _read_exif(image)
    losses = []
    if exif is None:
        losses.append("the photo's EXIF data is damaged, and its edit has none.")
    xmp = image.info.get("xmp", b"")
    if isinstance(xmp, bytes) and _OTHER_PICTURES.search(xmp):
        losses.append(
            "the photo's XMP data describes further data in its file, and its edit has neither."
        )
        xmp = b""
    elif xmp and not _is_text(xmp):
        losses.append("the photo's XMP data is damaged, and its edit has none.")
        xmp = b""
    texts = [
        (name, text)
        for name, text in (getattr(image, "text", None) or {}).items()
        # EXIF and XMP data have been read from these.
        if name not in ("Raw profile type exif", "XML:com.adobe.xmp")
    ]
    comment = image.info.get("comment")
    if isinstance(comment, str):
        comment = comment.encode(errors="replace")
    photoshop = image.info.get("photoshop")
    if isinstance(photoshop, dict) and IPTC in photoshop:
        losses.append("the photo has IPTC data, and its edit has none.")
    elif photoshop or (image.format == "TIFF" and PHOTOSHOP in getattr(image, "tag_v2", ())):
        losses.append("the photo has Photoshop data, and its edit has none.")
    if len(set(_read_aspect(image))) > 1:
        losses.append("the photo's pixels aren't square, and its edit doesn't say so.")
    segments = {
        name: None
        for name, content in getattr(image, "applist", [])
        if name != "COM" and not content.startswith(KNOWN_SEGMENTS)
    }
    if segments:
        losses.append(f"the photo has other data ({', '.join(segments)}), and its edit has none.")
    metadata = Metadata(
        exif=exif or b"",
        xmp=_TURNED.sub(rb"\g<1>1", xmp.rstrip(b"\0")) if xmp else b"",
        texts=tuple(texts),
        comment=comment if isinstance(comment, bytes) else b"",
        dpi=_read_dpi(image),
    )
    return metadata, orientation, losses


def _read_exif(image: Image.Image) -> tuple[bytes | None, int]:
    """Returns the EXIF data and the orientation. The data is None if it can't be read."""
    orientation = 1
    try:
        # `getexif` returns the image's own object, which must stay as it is.
        exif, own = Image.Exif(), image.getexif()
        orientation = int(own.get(ORIENTATION, 1))
        if not len(own):
            return None if image.info.get("exif") else b"", orientation
        if own.bigtiff:  # Pillow can't read such data apart from its file.
            exif.update({tag: value for tag, value in own.items() if tag not in POINTERS})
        else:
            exif.load(own.tobytes())
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        if orientation >= 5 and POINTERS[0] in exif:
            described = exif.get_ifd(POINTERS[0])
            if described.keys() >= set(SIZE):
                width, height = SIZE
                described[width], described[height] = described[height], described[width]
        for tag in (*STRUCTURE, *ELSEWHERE) if image.format == "TIFF" else ():
            exif.pop(tag, None)
        return exif.tobytes() if len(exif) else b"", orientation
    except Exception:  # Pillow raises many kinds of errors for tags of the wrong type.
        return None, orientation


def _is_text(data: object) -> bool:
    if not isinstance(data, bytes):
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_aspect(image: Image.Image) -> tuple[int, int]:
    """Returns the numbers of pixels in the same width and height, if that is all that is known."""
    if image.info.get("jfif_unit") == 0:
        return image.info.get("jfif_density", (1, 1))
    return image.info.get("aspect", (1, 1))


def _read_dpi(image: Image.Image) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    if image.format == "TIFF" and X_RESOLUTION not in getattr(image, "tag_v2", {X_RESOLUTION: 1}):
        return None  # Pillow reports 1 pixel per inch.
    try:
        x, y = (float(value) for value in dpi)  # type: ignore[union-attr]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x <= LARGEST_DPI and 0 < y <= LARGEST_DPI else None
