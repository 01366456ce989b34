"""The parts of Caffe's messages that weights need, declared for the protobuf library.

Caffe wrote layers in two ways: as `layers` (field 2, before 2014) and as `layer` (field 100). The
shape of a blob is given either by four numbers or by a `BlobShape`, and its data may be packed or
not; the library reads both. Everything else in a file is skipped.

References:
  caffe.proto, https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto.
"""

import functools
import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from dfi_jax.network.vgg import WIDTHS
from dfi_jax.network.weights.parameters import LARGEST

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "dfi_jax.caffe"
_MESSAGES = {
    "BlobShape": [("dim", 1, _Field.TYPE_INT64, True)],
    "BlobProto": [
        ("num", 1, _Field.TYPE_INT32, False),
        ("channels", 2, _Field.TYPE_INT32, False),
        ("height", 3, _Field.TYPE_INT32, False),
        ("width", 4, _Field.TYPE_INT32, False),
        ("data", 5, _Field.TYPE_FLOAT, True),
        ("shape", 7, "BlobShape", False),
    ],
    "LayerParameter": [("name", 1, _Field.TYPE_STRING, False), ("blobs", 7, "BlobProto", True)],
    "V1LayerParameter": [("name", 4, _Field.TYPE_STRING, False), ("blobs", 6, "BlobProto", True)],
    "NetParameter": [
        ("name", 1, _Field.TYPE_STRING, False),
        ("layers", 2, "V1LayerParameter", True),
        ("layer", 100, "LayerParameter", True),
    ],
}
_LAYERS = {2: "V1LayerParameter", 100: "LayerParameter"}
_LARGEST_LAYER = 5 * (LARGEST + max(WIDTHS)) + 1000
"""The size in bytes of VGG's largest convolution, stored unpacked at five bytes per number."""

_VARINT, _LENGTH_DELIMITED = 0, 2
"""The wire types of the fields of a NetParameter."""


@functools.cache
def message(name: str, *, packed: bool = True) -> Any:
    r"""Returns the class of a message.

    Args:
      name: Name of the message, such as `NetParameter`.
      packed: Whether written messages pack their numbers; both forms can be read.

    >>> message("BlobShape")(dim=[3, 3]).SerializeToString()
    b'\n\x02\x03\x03'
    """
    package = f"{_PACKAGE}.{'packed' if packed else 'unpacked'}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto2"
    )
    for message_name, fields in _MESSAGES.items():
        described = file.message_type.add(name=message_name)
        for field_name, number, kind, repeated in fields:
            field = described.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = kind
                if repeated:
                    field.options.packed = packed
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


def read_blobs(path: Path, layers: Container[str]) -> dict[str, list[np.ndarray]]:
    """Returns the blobs of the named layers, in their own shapes.

    Layers are parsed one by one, and layers larger than any convolution are skipped. Parsing a
    VGG-19 as a single message takes 1122 MB for 80 MB of convolutions; `benchmarks/weights_cost.py`
    measures what it takes this way.

    Args:
      path: `.caffemodel` file.
      layers: Names of layers.

    Raises:
      google.protobuf.message.DecodeError: If the file isn't such a message.

    >>> import tempfile
    >>> net = message("NetParameter")()
    >>> layer = net.layer.add(name="conv1_1")
    >>> blob = layer.blobs.add(data=[1.0, 2.0]).shape.dim.extend([2])
    >>> path = Path(tempfile.mkdtemp(), "small.caffemodel")
    >>> _ = path.write_bytes(net.SerializeToString())
    >>> read_blobs(path, ["conv1_1"])
    {'conv1_1': [array([1., 2.], dtype=float32)]}
    """
    found = {}
    with path.open("rb") as file:
        for layer in _layers(file, path.stat().st_size):
            if layer.name in layers:
                found[layer.name] = [_array(blob) for blob in layer.blobs]
    return found


def _layers(file: BinaryIO, size: int) -> Iterator[Any]:
    """Yields the layers of a NetParameter, parsed by the library; other fields are skipped.

    References:
      https://protobuf.dev/programming-guides/encoding.
    """
    while file.tell() < size:
        field, wire_type = divmod(_varint(file), 8)
        if wire_type == _VARINT:
            _varint(file)
        elif wire_type == _LENGTH_DELIMITED:
            length = _varint(file)
            if file.tell() + length > size:
                raise DecodeError("the message ends inside a field")
            if field in _LAYERS and length <= _LARGEST_LAYER:
                layer = message(_LAYERS[field])()
                layer.ParseFromString(file.read(length))
                yield layer
            else:
                file.seek(length, os.SEEK_CUR)
        else:
            raise DecodeError(f"the message has a field of the unknown wire type {wire_type}")


def _varint(file: BinaryIO) -> int:
    number = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    raise DecodeError("a number has no end")


def _array(blob: Any) -> np.ndarray:
    shape = list(blob.shape.dim) or [blob.num, blob.channels, blob.height, blob.width]
    data = np.fromiter(blob.data, np.float32, len(blob.data))
    return data.reshape(shape)
