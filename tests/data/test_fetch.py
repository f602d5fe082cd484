"""Downloads from a server on this machine that behaves well, or badly in one way."""

import hashlib
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tinyart.data import fetch, mnist
from tinyart.data.fetch import FILES, MIRRORS, Remote
from tinyart.errors import ArgumentError, FormatError

CONTENTS = {"one.gz": b"first" * 40_000, "two.gz": b"second"}
REMOTES = tuple(Remote(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items())


@contextmanager
def serving(answer, contents=CONTENTS):
    """A server whose file `one.gz` is sent by `answer(handler, data)`, and the list of paths asked for."""
    asked = []
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rpartition("/")[2]
            asked.append(name)
            self.release = release
            (answer if name == "one.gz" else good)(self, contents[name])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/set", asked
    finally:
        release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def head(handler, length: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()


def good(handler, data):
    head(handler, len(data))
    handler.wfile.write(data)


def missing(handler, data):
    handler.send_error(404)


def truncated(handler, data):
    head(handler, len(data))
    handler.wfile.write(data[:-1])


def shorter(handler, data):
    head(handler, len(data) - 1)
    handler.wfile.write(data[:-1])


def longer(handler, data):
    head(handler, len(data) + 1)
    handler.wfile.write(data + b"!")


def endless(handler, data):
    handler.send_response(200)
    handler.end_headers()
    try:
        while not handler.release.is_set():
            handler.wfile.write(b"x" * 100_000)
    except OSError:
        pass


def other_bytes(handler, data):
    head(handler, len(data))
    handler.wfile.write(data[:-1] + b"?")


def silent(handler, data):
    handler.release.wait(10)


def dripping(handler, data):
    head(handler, len(data))
    for k in range(1000):
        if handler.release.wait(0.02):
            break
        handler.wfile.write(data[k : k + 1])
        handler.wfile.flush()


def no_http(handler, data):
    handler.wfile.write(b"SSH-2.0-hello\r\n\r\n")


@pytest.fixture(autouse=True)
def two_files(monkeypatch):
    monkeypatch.setitem(FILES, "two", REMOTES)
    monkeypatch.setenv("no_proxy", "*")


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_good_server_gives_every_file_once(tmp_path):
    seen = []
    with serving(good) as (url, asked):
        folder = fetch("two", url=url, into=tmp_path, progress=lambda *step: seen.append(step))
        assert folder == tmp_path / "two"
        assert files_in(folder) == CONTENTS
        assert fetch("two", url=url + "/", into=tmp_path) == folder
    assert asked == ["one.gz", "two.gz"]  # the second call asked for nothing
    assert [step for step in seen if step[1] == step[2]] == [("one.gz", 200_000, 200_000), ("two.gz", 6, 6)]
    done = [step[1] for step in seen if step[0] == "one.gz"]
    assert done == sorted(set(done))


def test_the_cache_is_where_files_go_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(good) as (url, _):
        assert fetch("two", url=url) == tmp_path / "tinyart" / "two"


@pytest.mark.parametrize("state", ["one is missing", "one is cut", "one has another byte"])
def test_a_call_goes_on_where_the_last_one_stopped(tmp_path, state):
    folder = tmp_path / "two"
    folder.mkdir()
    (folder / "two.gz").write_bytes(CONTENTS["two.gz"])
    if state != "one is missing":
        data = CONTENTS["one.gz"][:-1]
        (folder / "one.gz").write_bytes(data if state == "one is cut" else data + b"?")
    with serving(good) as (url, asked):
        fetch("two", url=url, into=tmp_path)
    assert asked == ["one.gz"]
    assert files_in(folder) == CONTENTS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (missing, "HTTP Error 404: Not Found"),
        (truncated, "199999 bytes"),
        (shorter, "199999 bytes"),
        (longer, "more bytes"),
        (endless, "more bytes"),
        (other_bytes, "other bytes, SHA-256 [0-9a-f]{64}"),
        (silent, "timed out"),
        (dripping, "bytes after 0.3 seconds"),
        (no_http, "SSH-2.0-hello"),
    ],
)
def test_a_bad_server_leaves_nothing_and_is_named(tmp_path, answer, reason):
    start = time.monotonic()
    with serving(answer) as (url, _), pytest.raises(FormatError, match=reason) as caught:
        fetch("two", url=url, into=tmp_path, timeout=0.2, deadline=0.3 if answer is dripping else 60)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert message.startswith("fetch: one.gz: expected 200000 bytes of the known SHA-256, got http://127.0.0.1:")
    assert "Fix: try again" in message
    assert "\n" not in message
    assert files_in(tmp_path / "two") == {}


def test_the_next_mirror_is_asked_and_all_answers_are_told(tmp_path, monkeypatch):
    with serving(missing) as (bad, _), serving(good) as (url, asked):
        monkeypatch.setitem(MIRRORS, "two", (bad, url))
        assert files_in(fetch("two", into=tmp_path)) == CONTENTS
        assert asked == ["one.gz"]  # two.gz came from the first mirror
        monkeypatch.setitem(MIRRORS, "two", (bad, "no url", "http://127.0.0.1:1"))
        with pytest.raises(FormatError, match=r"404.*; no url: unknown url type.*; http://127.0.0.1:1: .*refused"):
            fetch("two", into=tmp_path / "again")


def test_a_disk_that_refuses_is_not_the_mirrors_fault(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with serving(good) as (url, _), pytest.raises(OSError, match="No space left"):
        fetch("two", url=url, into=tmp_path)
    assert files_in(tmp_path / "two") == {}


def test_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"fetch: name: expected one of \['mnist', 'two'\], got 'cifar'"):
        fetch("cifar", into=tmp_path)


def test_mnist_comes_through_a_server_whole(data_dir, tmp_path):
    contents = {remote.name: (data_dir("mnist") / remote.name).read_bytes() for remote in FILES["mnist"]}
    with serving(good, contents) as (url, asked):
        folder = fetch("mnist", url=url, into=tmp_path)
    assert sorted(asked) == sorted(contents)
    assert len(mnist("test", folder=folder)[0]) == 10_000
