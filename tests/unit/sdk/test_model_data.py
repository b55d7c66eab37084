"""Model files outside of the platform: fetched over HTTP, from a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slipway.sdk.model_data import ModelData, ModelFileError, download, md5_hex
from slipway.sdk.platform import PART_BYTES

FILES = {"/v1/data/ann/models/two%20words": b"weights", "/v1/connector/s3%2Bmine/bucket/key": b"far away"}
LARGE = bytes(range(256)) * (PART_BYTES // 100)
FILES["/v1/data/ann/models/large"] = LARGE


class Data(BaseHTTPRequestHandler):
    """Hosted data, as much as is asked for here."""

    def do_GET(self) -> None:
        """A file, a directory, or what says that there is none."""
        content = FILES.get(self.path)
        begin, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if content and begin and len(content) > PART_BYTES:
            part = content[int(begin) : int(end) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{int(begin) + len(part) - 1}/{len(content)}")
            self.end_headers()
            self.wfile.write(part)
            return
        directory = self.path == "/v1/data/ann/models"
        self.send_response(200 if content or directory else 404)
        self.send_header("X-Data-Type", "directory" if directory else "file")
        if not content and not directory:
            self.send_header("X-Error-Message", "there is nothing at that place")
        self.end_headers()
        self.wfile.write(content or b"{}")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Data) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("SLIPWAY_API", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.chdir(tmp_path)
        yield
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("address", "content"), [("data://ann/models/two words", "weights"), ("s3+mine://bucket/key", "far away")]
)
def test_files_are_had_by_their_address(address: str, content: str) -> None:
    assert Path(download(address)).read_text() == content


def test_large_files_come_in_parts() -> None:
    assert Path(download("data://ann/models/large")).read_bytes() == LARGE


@pytest.mark.parametrize(
    ("address", "message"),
    [("data://ann/models/none", "there is nothing at that place"), ("data://ann/models", "it is a directory")],
)
def test_what_is_no_file_says_so(address: str, message: str) -> None:
    with pytest.raises(OSError, match=message):
        download(address)


def test_a_required_file_is_compared_and_named(tmp_path: Path) -> None:
    entry = {"name": "words", "source_uri": "data://ann/models/two words", "md5_checksum": md5_hex(b"weights")}
    manifest = tmp_path / "model_manifest.json"
    manifest.write_text(json.dumps({"required_files": [entry], "optional_files": []}))
    data = ModelData(None, "model_manifest.json")
    data.initialize()
    assert Path(data.get_model("words")).read_text() == "weights"
    assert data.models["words"].md5_checksum == md5_hex(b"weights")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = {"name": "words", "source_uri": "data://ann/models/two words"}
    (tmp_path / "model_manifest.json").write_text(json.dumps({"required_files": [entry, entry]}))
    with pytest.raises(ModelFileError, match="gives the name 'words' to two files"):
        ModelData(None, "model_manifest.json").initialize()


def test_a_missing_required_file_is_a_loading_error_with_name_and_address(tmp_path: Path) -> None:
    entry = {"name": "words", "source_uri": "data://ann/models/none"}
    (tmp_path / "model_manifest.json").write_text(json.dumps({"required_files": [entry]}))
    with pytest.raises(ModelFileError, match="'words' cannot be had from data://ann/models/none: there is") as caught:
        ModelData(None, "model_manifest.json").initialize()
    assert caught.value.error_type == "LoadingError"
