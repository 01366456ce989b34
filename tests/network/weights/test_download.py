"""Downloads from a local server that breaks off, changes files, sends wrong ones and fails."""

import dataclasses
import hashlib
import http.server
import signal
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import numpy as np
import pytest
import requests

from dfi_jax.errors import FileError
from dfi_jax.network.weights import catalog, converted, download, load_vgg
from dfi_jax.network.weights.catalog import CAFFE, CATALOG, Published
from dfi_jax.network.weights.parameters import Weights, random_params
from dfi_jax.progress import Progress

NAME = "small.safetensors"

PROCESS = """
from dfi_jax.network.weights import catalog, download
p = catalog.Published(
    architecture="vgg16",
    preprocess=catalog.CAFFE,
    license="none",
    address={published.address!r},
    size=None,
    checksum={published.checksum!r},
    reader="numpy",
)
"""
"""The start of a program for another process."""


class Server(http.server.ThreadingHTTPServer):
    """Serves `body`, up to `breaks_after` bytes at a time, with `pause` seconds between blocks."""

    body = b""
    etag = '"one"'
    breaks_after: int | None = None
    pause = 0.0
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        start = 0
        if server.status != 200:
            self.send_response(server.status)
        elif asked and self.headers.get("If-Range") in (None, server.etag):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(416 if start >= len(server.body) else 206)
        else:
            self.send_response(200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(max(0, len(server.body) - start)))
        self.end_headers()
        end = len(server.body) if server.breaks_after is None else start + server.breaks_after
        for i in range(start, min(end, len(server.body)), 65536):
            try:
                self.wfile.write(server.body[i : min(i + 65536, end)])
            except OSError:
                return
            time.sleep(server.pause)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    """A valid file of weights: VGG-16 up to conv2_1, 0.4 MB."""
    path = tmp_path_factory.mktemp("body") / NAME
    weights = Weights(
        params=random_params("vgg16"), architecture="vgg16", preprocess=CAFFE, format="random"
    )
    converted.write(path, weights, deepest="conv2_1")
    return path.read_bytes()


@pytest.fixture
def server(body, monkeypatch, tmp_path):
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    server.body = body
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(server, body):
    return Published(
        architecture="vgg16",
        preprocess=CAFFE,
        license="none",
        address=server.address,
        size=len(body),
        checksum=f"sha1:{hashlib.sha1(body).hexdigest()}",
        reader="numpy",
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "weights"


def left(folder):
    """The names of files that could be mistaken for the complete one."""
    return [path.name for path in folder.iterdir() if path.suffix == ".safetensors"]


def test_a_file_is_downloaded_once_and_is_the_published_one(server, published, folder, body):
    seen = []
    path, digest = download.fetch("x", published, on_progress=seen.append)
    assert path == folder / NAME
    assert path.read_bytes() == body
    assert digest == hashlib.sha256(body).hexdigest()
    size = len(body)
    assert seen[-1] == Progress(phase="download", done=size, total=size, unit="bytes")
    assert (folder / f"{NAME}.sha256").read_text() == f"{digest}  {NAME}\n"
    assert not list((folder / "partial").iterdir())
    assert download.fetch("x", published) == (path, digest)
    assert server.ranges == [None]


def test_load_vgg_uses_the_downloaded_file(server, published, monkeypatch):
    monkeypatch.setitem(CATALOG, "x", dataclasses.replace(published, normalized=True))
    vgg = load_vgg("x")
    assert (vgg.name, vgg.architecture, vgg.preprocess, vgg.normalized) == (
        "x",
        "vgg16",
        CAFFE,
        True,
    )
    np.testing.assert_array_equal(
        vgg.params["conv2_1"]["kernel"], load_vgg("random-vgg16").params["conv2_1"]["kernel"]
    )


def test_a_download_resumes_after_a_failure(server, published, folder, body, monkeypatch):
    monkeypatch.setattr(download, "CHUNK", 50_000)
    server.breaks_after = 100_000
    with pytest.raises(
        FileError, match=r"connection failed after 0\.1 MB; go online and try again to resume"
    ):
        download.fetch("x", published)
    assert not left(folder)
    server.breaks_after = None
    path, _ = download.fetch("x", published)
    assert path.read_bytes() == body
    assert server.ranges == [None, "bytes=100000-"]


def test_a_file_that_has_changed_is_downloaded_from_the_start(
    server, published, folder, body, monkeypatch
):
    monkeypatch.setattr(download, "CHUNK", 50_000)
    server.body, server.breaks_after = b"old" * 100_000, 100_000
    with pytest.raises(FileError):
        download.fetch("x", published)
    server.body, server.etag, server.breaks_after = body, '"two"', None
    path, _ = download.fetch("x", published)
    assert path.read_bytes() == body
    assert server.ranges == [None, "bytes=100000-"]


def test_a_complete_download_that_was_not_moved_starts_again(server, published, folder, body):
    partial = folder / "partial" / NAME
    partial.parent.mkdir(parents=True)
    partial.write_bytes(body)
    (folder / "partial" / f"{NAME}.validator").write_text(server.etag)
    path, _ = download.fetch("x", published)
    assert path.read_bytes() == body
    assert server.ranges == [f"bytes={len(body)}-", None]


def test_a_killed_download_leaves_nothing_that_could_be_used(server, published, folder, body):
    server.pause = 0.3
    code = PROCESS.format(published=published) + (
        "download.CHUNK = 65536\n"
        "download.fetch('x', p, on_progress=lambda progress: print(progress.done, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert int(process.stdout.readline()) > 0
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not left(folder)
    assert (folder / "partial" / NAME).stat().st_size > 0
    server.pause = 0
    path, _ = download.fetch("x", published)
    assert path.read_bytes() == body
    assert server.ranges[1].startswith("bytes=")


def test_a_full_disk_is_one_sentence_and_the_download_resumes_later(
    server, published, folder, body
):
    # A write beyond the limit fails as on a full disk.
    code = PROCESS.format(published=published) + (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "download.fetch('x', p)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "free some space there, or set DFI_JAX_CACHE to another folder" in result.stderr
    assert not left(folder)
    path, _ = download.fetch("x", published)
    assert path.read_bytes() == body


@pytest.mark.parametrize("stated", [True, False])
def test_an_error_page_instead_of_weights_is_rejected(server, published, folder, stated):
    server.body = b"<!DOCTYPE html><title>404</title>" * 100
    if not stated:
        published = dataclasses.replace(published, checksum=None)
    with pytest.raises(FileError, match="is not the published file" if stated else "is a web page"):
        download.fetch("x", published)
    assert not left(folder)


def test_an_unpublished_checksum_is_recorded_reported_and_required(
    server, published, folder, body, caplog
):
    unstated = dataclasses.replace(published, checksum=None)
    path, digest = download.fetch("x", unstated)
    assert f"its SHA-256, {digest}, is recorded" in caplog.text
    path.write_bytes(body[:-1] + b"?")
    assert download.fetch("x", unstated)[1] == digest  # A changed file is downloaded again.
    assert path.read_bytes() == body
    path.unlink()
    server.body = body[:-1] + b"!"
    with pytest.raises(FileError, match=f"its checksum isn't {digest}|damaged"):
        download.fetch("x", unstated)
    assert not left(folder)


def test_the_error_of_a_server_is_quoted(server, published, folder):
    server.status = 503
    with pytest.raises(
        FileError, match=r"answered 503 Service Unavailable; try later, or download"
    ):
        download.fetch("x", published)
    assert not left(folder)


def test_without_a_connection_the_error_says_what_to_do(monkeypatch, tmp_path):
    pytest.importorskip("h5py")
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    nowhere = dataclasses.replace(CATALOG["vgg19-keras"], address="http://127.0.0.1:9/vgg19.h5")
    monkeypatch.setitem(CATALOG, "vgg19-keras", nowhere)
    with pytest.raises(FileError) as caught:
        load_vgg("vgg19-keras")
    assert str(caught.value) == (
        "the weights of vgg19-keras couldn't be downloaded from http://127.0.0.1:9/vgg19.h5 "
        "(80 MB) because the connection failed; go online and try again, or download the file "
        "elsewhere and give its path instead of the name."
    )


@pytest.mark.parametrize(
    ("proxy", "error", "sentence"),
    [
        (
            "http://user:secret@[::1",
            requests.ConnectionError(),
            "through a proxy failed; go online, or",
        ),
        ("socks5://127.0.0.1:9", requests.exceptions.InvalidSchema(), "unset HTTPS_PROXY and ALL"),
        (
            "http://x",
            requests.exceptions.SSLError(),
            "certificate couldn't be verified; correct or unset",
        ),
    ],
)
def test_a_setting_that_keeps_from_the_server_is_named(
    published, folder, monkeypatch, proxy, error, sentence
):
    def fail(*args, **options):
        raise error

    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setattr("requests.get", fail)
    with pytest.raises(FileError, match=sentence) as caught:
        download.fetch("x", published)
    assert "secret" not in str(caught.value)


def test_a_file_that_could_not_be_read_is_not_downloaded(server, published, folder):
    for reader in ("no_such_reader", "no_such.reader"):
        with pytest.raises(
            FileError,
            match=r"without the package \w+; install it with `pip install 'dfi-jax\[convert\]'`",
        ):
            download.fetch("x", dataclasses.replace(published, reader=reader))
    assert not server.ranges
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(published, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DFI_JAX_CACHE", str(tmp_path / "file"))
    with pytest.raises(FileError, match="make it writable, or set DFI_JAX_CACHE to another folder"):
        download.fetch("x", published)


def test_two_processes_download_one_file_once(server, published, body, folder):
    server.pause = 0.1
    paths = []

    def fetch():
        paths.append(download.fetch("x", published)[0])

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [folder / NAME] * 2
    assert server.ranges == [None]
    assert paths[0].read_bytes() == body


def test_checksums_and_architectures_in_the_catalog_agree_with_the_file_names():
    for entry in CATALOG.values():
        assert entry.architecture in ("vgg16", "vgg19")
        if isinstance(entry, Published):
            assert entry.architecture[3:] in entry.file or entry.normalized
            assert entry.checksum is None or len(entry.checksum) in (4 + 32, 5 + 40, 7 + 64)
    for name, digits in (("vgg19", "dcbb9e9d"), ("vgg16-torchvision", "397923af")):
        assert CATALOG[name].checksum.startswith(f"sha256:{digits}")
        assert CATALOG[name].file.endswith(f"-{digits}.pth")


@pytest.mark.parametrize("name", CATALOG)
def test_a_published_network_sees_images_as_its_publisher_prepared_them(name):
    """Their colours are centred, in the order and the units that the publisher states."""
    from_caffe = {"keras", "caffe", "chainer", "matconvnet", "normalized"}
    caffe = bool(from_caffe & set(name.split("-")))
    mean = np.array([123.68, 116.779, 103.939] if caffe else [0.485, 0.456, 0.406])
    deviation = np.ones(3) if caffe else np.array([0.229, 0.224, 0.225])
    scale = 255 if caffe else 1
    if "chainer" in name:
        mean = np.array([124.0, 117.0, 104.0])
    colour = np.array([0.9, 0.5, 0.2])
    expected = (scale * colour - mean) / deviation
    if caffe and "matconvnet" not in name:
        expected = expected[::-1]  # The networks of Caffe expect blue first.
    prepared = CATALOG[name].preprocess(jnp.asarray(colour, jnp.float32).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(prepared.ravel(), expected, rtol=1e-4)


def test_a_published_file_is_identified_by_its_checksum(tmp_path):
    assert catalog.identify(CATALOG["vgg16"].locate()) == ("vgg16",)
    (tmp_path / "a").write_text("a")
    assert catalog.identify(tmp_path / "a") == ()
