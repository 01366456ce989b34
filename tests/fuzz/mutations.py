"""Ways to damage a file. Each takes its bytes and a random generator, and returns other bytes."""

import json
import re

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
"""Integers at the borders of types, which overflow where a reader counts with them."""

ODD_TEXTS = (
    "\ufeff",
    "\0",
    "\u2028",
    "\x1c",
    "\x85",
    "\r",
    "\n",
    "\t",
    '"',
    "\\",
    "\\ud800",
    "\\u0000",
    "#",
    ",",
    ",,",
    " ",
    "../",
    "/",
    "~",
    "%s{}",
    "\u202e",
    "\x1b[31m",
    "é" * 300,
    "x" * 5000,
    "9" * 5000,
    "1e999",
    "-1e38",
    "1e-400",
    "nan",
    "-inf",
    "0x10",
    "１２",
    "1_000",
    "[" * 5000,
    '{"a":' * 5000,
    "true",
    "null",
    "{}",
    "[]",
)
"""Texts that mean something to a parser, or that no parser expects."""

ODD_BYTES = (b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0\0\0")
"""Bytes that aren't UTF-8, such as a surrogate, or that announce another encoding."""

ODD_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    10**30,
    10**400,
    float("nan"),
    float("inf"),
    1e300,
    1e-320,
    "",
    " ",
    "\ud800",
    "\0",
    "\n",
    "\u2028",
    "..",
    "a/b",
    "conv1_1",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    [1, 2],
    [1.0, "a"],
    {"kind": "l2"},
    {"kind": "wiener", "focus": "x"},
    {"a": {"b": []}},
)
"""JSON values of every type, with the extremes of each."""


def flip_bits(data, rng):
    found = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        found[place] ^= 1 << rng.integers(8)
    return bytes(found)


def overwrite_number(data, rng):
    value = EXTREMES[rng.integers(len(EXTREMES))]
    size = int(rng.choice([1, 2, 4, 8]))
    number = (value & (256**size - 1)).to_bytes(size, ["little", "big"][rng.integers(2)])
    start = rng.integers(len(data))
    return data[:start] + number + data[start + size :]


def truncate(data, rng):
    return data[: rng.integers(len(data))]


def delete_chunk(data, rng):
    start, length = _chunk(data, rng)
    return data[:start] + data[start + length :]


def repeat_chunk(data, rng):
    start, length = _chunk(data, rng)
    times = int(rng.choice([2, 2, 2, 50]))
    return data[:start] + data[start : start + length] * times + data[start + length :]


def move_chunk(data, rng):
    start, length = _chunk(data, rng)
    rest = data[:start] + data[start + length :]
    place = rng.integers(len(rest) + 1)
    return rest[:place] + data[start : start + length] + rest[place:]


def insert_noise(data, rng):
    place = rng.integers(len(data) + 1)
    return data[:place] + rng.bytes(rng.integers(1, 64)) + data[place:]


def clear_chunk(data, rng):
    start, length = _chunk(data, rng)
    return data[:start] + bytes([rng.choice([0, 255])]) * length + data[start + length :]


BYTES = (
    flip_bits,
    overwrite_number,
    truncate,
    delete_chunk,
    repeat_chunk,
    move_chunk,
    insert_noise,
    clear_chunk,
)
"""Damage to any file."""


def insert_text(data, rng):
    place = rng.integers(len(data) + 1)
    return data[:place] + odd_text(rng) + data[place:]


def replace_cell(data, rng):
    """Replaces what stands between two separators."""
    cells = list(re.finditer(rb'[^\s,:"\[\]{}]+', data))
    if not cells:
        return data
    start, end = cells[rng.integers(len(cells))].span()
    return data[:start] + odd_text(rng) + data[end:]


def drop_line(data, rng):
    lines = data.split(b"\n")
    del lines[rng.integers(len(lines))]
    return b"\n".join(lines)


def repeat_line(data, rng):
    lines = data.split(b"\n")
    lines.insert(rng.integers(len(lines) + 1), lines[rng.integers(len(lines))])
    return b"\n".join(lines)


def swap_lines(data, rng):
    lines = data.split(b"\n")
    i, j = rng.integers(len(lines), size=2)
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def change_line_ends(data, rng):
    end = (b"\r\n", b"\r", b"\n\n", "\u2028".encode(), b"\n\r")[rng.integers(5)]
    return data.replace(b"\n", end)


def change_encoding(data, rng):
    encoding = ("utf-16", "utf-16-le", "latin-1", "utf-8-sig", "utf-32")[rng.integers(5)]
    return data.decode("utf-8", "replace").encode(encoding, "replace")


TEXT = (
    insert_text,
    replace_cell,
    replace_cell,
    drop_line,
    repeat_line,
    swap_lines,
    change_line_ends,
    change_encoding,
    flip_bits,
    truncate,
    delete_chunk,
    repeat_chunk,
)
"""Damage to a text file."""


def change_json(value, rng):
    """Returns a JSON value in which one value, at any depth, is replaced, removed or renamed."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return ODD_VALUES[rng.integers(len(ODD_VALUES))]
    is_dict = isinstance(value, dict)
    changed = dict(value) if is_dict else list(value)
    key = list(value)[rng.integers(len(value))] if is_dict else int(rng.integers(len(value)))
    action = rng.random()
    if action < 0.1:
        del changed[key]
    elif action < 0.2:
        other = list(value)[rng.integers(len(value))] if is_dict else int(rng.integers(len(value)))
        changed[key] = value[other]
    elif action < 0.25 and is_dict:
        changed[key + "_"] = changed.pop(key)
    elif action < 0.3 and not is_dict:
        changed.append(value[key])
    else:
        changed[key] = change_json(value[key], rng)
    return changed


def change_json_line(data, rng):
    """Changes a value in a file of JSON lines."""
    lines = data.split(b"\n")
    place = rng.integers(len(lines))
    try:
        lines[place] = json.dumps(change_json(json.loads(lines[place]), rng)).encode()
    except (ValueError, RecursionError):
        return insert_text(data, rng)
    return b"\n".join(lines)


def splice(data, other, rng):
    """Returns the beginning of one file and the end of another."""
    return data[: rng.integers(len(data) + 1)] + other[rng.integers(len(other) + 1) :]


def damage(data, rng, mutations):
    """Applies one of the mutations, and perhaps more."""
    while True:
        data = mutations[rng.integers(len(mutations))](data, rng) if data else data
        if rng.random() < 0.6:
            return data


def _chunk(data, rng):
    length = int(rng.integers(1, max(2, min(len(data), 4 ** rng.integers(1, 7)) + 1)))
    return int(rng.integers(max(1, len(data) - length + 1))), length


def odd_text(rng):
    i = rng.integers(len(ODD_TEXTS) + len(ODD_BYTES))
    return ODD_TEXTS[i].encode() if i < len(ODD_TEXTS) else ODD_BYTES[i - len(ODD_TEXTS)]
