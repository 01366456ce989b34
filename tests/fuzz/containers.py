"""Damage inside of containers, which keeps their lengths and checksums right."""

import contextlib
import io
import json
import pickletools
import re
import struct
import zipfile
import zlib

from fuzz.mutations import BYTES, change_json, damage, flip_bits, odd_text


def change_header(data, rng):
    """Changes the header of a safetensors file: its metadata, or the tensors' types and shapes."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        metadata = header["__metadata__"]
        name = list(metadata)[rng.integers(len(metadata))]
        if rng.random() < 0.8:  # A value of the metadata is itself JSON.
            metadata[name] = json.dumps(change_json(json.loads(metadata[name]), rng))
        elif rng.random() < 0.3:
            metadata[name] = odd_text(rng).decode("utf-8", "replace")
        else:
            header = change_json(header, rng)
        written = json.dumps(header).encode()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return flip_bits(data, rng)
    return len(written).to_bytes(8, "little") + written + data[8 + length :]


def change_numbers(data, rng):
    """Overwrites some of the float32 numbers at the end of a safetensors file."""
    values = (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f", b"\x01\x00\x00\x00")
    start = 8 + int.from_bytes(data[:8], "little")
    count = (len(data) - start) // 4
    if count <= 0:
        return flip_bits(data, rng)
    place = start + 4 * rng.integers(count)
    return data[:place] + values[rng.integers(len(values))] + data[place + 4 :]


def change_png_chunk(data, rng):
    """Damages the contents of one chunk of a PNG file, and corrects its length and checksum."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return flip_bits(data, rng)
    chosen = rng.integers(len(chunks))
    name, content = chunks[chosen]
    if name in (b"IDAT", b"iCCP") and rng.random() < 0.5:
        try:
            start = content.index(b"\0") + 2 if name == b"iCCP" else 0
            inner = damage(zlib.decompress(content[start:]) or b"\0", rng, BYTES)
            content = content[:start] + zlib.compress(inner)
        except (zlib.error, ValueError):
            pass
    else:
        content = damage(content or b"\0", rng, BYTES)
    chunks[chosen] = name, content
    return data[:8] + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def change_member(data, rng):
    """Damages one file in a zip archive, and writes the archive anew."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, EOFError):
        return flip_bits(data, rng)
    if not members:
        return flip_bits(data, rng)
    pickles = [name for name in members if name.endswith("data.pkl")]
    name = list(members)[rng.integers(len(members))]
    if pickles and rng.random() < 0.6:
        name = pickles[0]
        members[name] = damage(members[name] or b"\0", rng, (change_pickle, *BYTES))
    else:
        members[name] = damage(members[name] or b"\0", rng, BYTES)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return written.getvalue()


ALARM = b"cwarnings\nwarn\n(X\x08\x00\x00\x00code rantR"
"""A call of `warnings.warn` in a pickle. Like every warning, it makes a case fail."""


def change_pickle(data, rng):
    """Inserts a call, deletes an operation, or changes the name of a function in a pickle."""
    places = []
    with contextlib.suppress(Exception):  # A damaged pickle has operations up to the damage.
        for _, _, place in pickletools.genops(data):
            places.append(place)
    if len(places) < 2:
        return flip_bits(data, rng)
    i = rng.integers(len(places) - 1)
    action = rng.random()
    if action < 0.3:
        rest = b"0" if rng.random() < 0.5 else b""  # "0" drops the result.
        return data[: places[i]] + ALARM + rest + data[places[i] :]
    if action < 0.6:
        return data[: places[i]] + data[places[i + 1] :]
    if action < 0.7:
        j = rng.integers(len(places) - 1)
        return data[: places[i]] + data[places[j] : places[j + 1]] + data[places[i] :]
    names = [m.span() for m in re.finditer(rb"c[\w.]+\n\w+\n", data)]
    if not names:
        return flip_bits(data, rng)
    start, end = names[rng.integers(len(names))]
    others = (b"cwarnings\nwarn\n", b"cnumpy\nload\n", b"cbuiltins\neval\n", b"cnumpy\ndtype\n")
    return data[:start] + others[rng.integers(len(others))] + data[end:]
