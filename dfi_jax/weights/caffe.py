"""Caffe's messages, as far as weights need them, as descriptors for the protobuf library.

Caffe wrote layers in two ways: `layers` (field 2, before 2014) and `layer` (field 100). A blob's shape is either the
four legacy numbers or a `BlobShape`; its data may be packed or not, which the library reads alike. Whatever else a file
holds is skipped.

Reference: caffe.proto, https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto.
"""

import functools
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

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


@functools.cache
def message(name: str, *, packed: bool = True) -> Any:
    """The class of a message. `packed` is how a written message lays out its numbers; reading takes either."""
    package = f"{_PACKAGE}.{'packed' if packed else 'unpacked'}"
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
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
    """The blobs of the layers named, in their own shapes.

    The file's bytes are gone by the time that arrays are made, so that twice the file is the most that is in memory.

    Raises:
      google.protobuf.message.DecodeError: where the file is no such message.
    """
    net = message("NetParameter")()
    net.ParseFromString(path.read_bytes())
    return {layer.name: [_array(blob) for blob in layer.blobs]
            for layer in (*net.layers, *net.layer) if layer.name in layers}  # fmt: skip


def _array(blob: Any) -> np.ndarray:
    shape = list(blob.shape.dim) or [blob.num, blob.channels, blob.height, blob.width]
    data = np.fromiter(blob.data, np.float32, len(blob.data))
    return data.reshape(shape)
