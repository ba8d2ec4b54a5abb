"""Section by section what an attacker may try: other pages, other names, other users, files, sizes, load."""

from __future__ import annotations

import http.client
import json
import socket
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import browser as chromium
from helpers.training import kineme, one_paragraph

from kineme.apps.explorer import answers, container, guard, launch, reading, uploads
from kineme.utils.errors import InputError

from .conftest import bomb, nested


def raw(served, lines: list[str], body: bytes = b"") -> tuple[int, bytes]:
    """Exactly these lines, no client in between."""
    with socket.create_connection(("127.0.0.1", served.port), 20) as link:
        link.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)
        answer = b""
        while part := link.recv(65536):
            answer += part
    return int(answer.split()[1]), answer


def get(served, path: str, *, host: str | None = None, token: str | None = "right", **headers: str):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host or served.host}"]
    if token:
        lines.append(f"X-Kineme-Token: {served.token if token == 'right' else token}")
    return raw(served, lines + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()])


def post(served, path: str, body: bytes, kind: str = "application/json", **headers: str):
    lines = [f"POST {path} HTTP/1.1", f"Host: {served.host}", f"X-Kineme-Token: {served.token}"]
    lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return raw(served, lines + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()], body)


def code(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]


# ---------------------------------------------------------------------------------------------------- bind and host


def test_listens_on_this_machine_alone(served):
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", served.port), 5)
    with launch.bind("127.0.0.1", 0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
    with pytest.raises(InputError):
        launch.bind("127.0.0.1", served.port)


def test_other_addresses_need_a_name_and_the_token(made):
    done = kineme("explore", made.index.path, "--host", "0.0.0.0", check=False)
    one_paragraph(done, "--allow-host")
    done = kineme("explore", made.index.path, "--host", "0.0.0.0", "--allow-host", "me", "--no-token", check=False)
    one_paragraph(done, "--no-token")
    launch.check("0.0.0.0", ["me"], True)
    launch.check("127.0.0.1", [], False)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1:{port}/x", "localhost:{port}.", "127.0.0.1", "localhost:1"],
)
def test_other_names_are_misdirected(served, host):
    status, answer = get(served, "/", host=host.format(port=served.port))
    assert (status, code(answer)) == (421, "wrong_host")


@pytest.mark.parametrize("lines", [[], ["Host: {host}", "Host: {host}"], ["Host: {host}", "Host: evil.example"]])
def test_exactly_one_host(served, lines):
    status, _ = raw(served, ["GET / HTTP/1.1", *(line.format(host=served.host) for line in lines)])
    assert status in (400, 421)  # without one the parser of HTTP refuses already


@pytest.mark.parametrize("host", ["LOCALHOST:{port}", "[::1]:{port}", "127.0.0.1:{port}"])
def test_own_names_in_any_case(served, host):
    assert get(served, "/", host=host.format(port=served.port))[0] == 200


# ------------------------------------------------------------------------------------------------------------- token


@pytest.mark.parametrize("path", ["/api/store", "/api/map", "/api/clip/0", "/api/nothing", "/api/table"])
def test_everything_asked_for_needs_the_token(served, path):
    for wrong in (None, "0" * 32, served.token[:-1], served.token + "0"):
        status, answer = get(served, path, token=wrong)
        assert (status, code(answer)) == (401, "no_token")
    assert get(served, path)[0] in (200, 404)
    assert len(served.token) == 32  # 128 bits


def test_no_cookies_no_cors_and_the_policy(served):
    for path in ("/", "/api/store", "/main.js", "/nothing"):
        _, answer = get(served, path, Origin=f"http://{served.host}")
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in head
        assert b"access-control" not in head
        assert b"content-security-policy: default-src 'none'; script-src 'self'" in head
        for line in (b"x-content-type-options: nosniff", b"referrer-policy: no-referrer"):
            assert line in head
        assert b"cross-origin-opener-policy: same-origin" in head
        assert b"cross-origin-resource-policy: same-origin" in head


# -------------------------------------------------------------------------------------------------------- cross-site


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
    ],
)
def test_other_pages_are_refused(served, headers):
    for status, answer in (get(served, "/api/store", **headers), post(served, "/api/search", b"{}", **headers)):
        assert (status, code(answer)) == (403, "cross_site")


def test_own_page_is_answered(served):
    headers = {"Sec_Fetch_Site": "same-origin", "Origin": f"http://{served.host}"}
    assert get(served, "/api/store", **headers)[0] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_forms_of_other_pages_change_nothing(served, kind):
    assert post(served, "/api/search", b"{}", kind)[0] == 415
    assert post(served, "/api/uploads?name=a.bvh", b"x", kind)[0] == 415


def test_reading_changes_nothing(served):
    for path in ("/api/search", "/api/uploads"):
        assert get(served, path)[0] == 405
    assert raw(served, ["POST /main.js HTTP/1.1", f"Host: {served.host}", "Content-Length: 0"])[0] == 405


# ------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/static/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/main.js%00",
        "/%00",
        "/\\\\server\\share",
        "/C:/Windows/win.ini",
        "/server.py",
        "/__init__.py",
    ],
)
def test_only_the_named_files_are_served(served, path):
    status, answer = get(served, path)
    assert status in (400, 404)
    assert b"root:" not in answer
    assert b"import" not in answer


@pytest.mark.parametrize(
    "path",
    [
        "/api/clip/-1",
        "/api/clip/40",
        "/api/clip/x",
        "/api/clip/..%2f..%2fetc",
        "/api/clips?rows=1,../2",
        "/api/clips?rows=",
        "/api/column/..%2f..",
        "/api/uploads/..%2fx",
        "/api/map?kind=../x",
        "/api/map?kind=%00",
    ],
)
def test_rows_are_numbers(served, path):
    status, answer = get(served, path)
    assert status in (400, 404)
    assert b"/tmp" not in answer
    assert b"Traceback" not in answer


# ------------------------------------------------------------------------------------------------------------- sizes


def test_bodies_are_bounded(served):
    for path, most in (("/api/search", guard.MOST_BODY), ("/api/uploads", guard.MOST_UPLOAD)):
        lines = [f"POST {path} HTTP/1.1", f"Host: {served.host}", f"X-Kineme-Token: {served.token}"]
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {most + 1}"]
        status, answer = raw(served, lines)
        assert (status, code(answer)) == (413, "too_large")  # before it is sent


@pytest.mark.parametrize("path", ["/api/search", "/api/uploads"])
def test_bodies_are_counted_where_no_length_is_said(served, path):
    most = guard.MOST_UPLOAD if path == "/api/uploads" else guard.MOST_BODY
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    link.putrequest("POST", path, skip_host=True)
    for name, value in (("Host", served.host), ("X-Kineme-Token", served.token), ("Transfer-Encoding", "chunked")):
        link.putheader(name, value)
    link.putheader("Content-Type", "application/octet-stream" if "uploads" in path else "application/json")
    link.endheaders()
    piece = b" " * (1 << 20)
    try:
        for _ in range(most // len(piece) + 1):
            link.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        link.send(b"0\r\n\r\n")
    except OSError:
        pass  # it hung up, as it may
    assert link.getresponse().status == 413


def test_deep_and_odd_json(served):
    for body in (b"[" * 100_000, b'{"query":' * 5000, b"{", b"\xff", b'{"query":{"row":0},"k":1e99}',
                 b'{"query":{"row":true}}',
                 b'{"query":{"row":0},"also":1}', b'{"query":{"row":0,"from":NaN}}', b'{"query":{}}'):  # fmt: skip
        status, answer = post(served, "/api/search", body)
        assert status == 400, answer
        assert code(answer) == "bad_argument"


# ----------------------------------------------------------------------------------------------------------- uploads


def test_a_bomb_a_loop_and_rubbish_end(tmp_path, monkeypatch, made):
    for name, data in {
        "deep.json": b"[" * 500_000,
        "renamed.bvh": b"no motion at all",
        "cut.bvh": made.bvh.read_bytes()[:700],
        "nothing.npz": b"",
        "binary.bvh": bytes(range(256)) * 50,
    }.items():
        with pytest.raises(InputError) as error:
            uploads.read(name, data)
        assert str(tmp_path) not in str(error.value)
        assert "/tmp" not in str(error.value)
        assert "broke off" not in str(error.value)  # a sentence about the file, not about its reader
    for path, words in (
        (bomb(tmp_path / "bomb.npz"), "allocate"),
        (nested(tmp_path / "deep.json"), "lists and objects"),
    ):
        with pytest.raises(InputError, match=words):
            uploads.read(path.name, path.read_bytes())
    assert not list(tmp_path.glob("joints*"))


@pytest.mark.parametrize("what", ["while True: pass", "open('x', 'wb', 0).write(b'more')", "bytearray(3 << 30)",
                                  "[open('/dev/null') for _ in range(99)]"])  # fmt: skip
def test_the_reading_process_has_limits(monkeypatch, what):
    monkeypatch.setattr(
        uploads, "START",
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from kineme.apps.explorer import reading; "
        f"reading.SECONDS = 1; reading.limit(); {what}; sys.stdout.write('got away')",
    )  # fmt: skip
    answers, decoded = [], reading.decoded
    monkeypatch.setattr(reading, "decoded", lambda data, name: answers.append(data) or decoded(data, name))
    begin = time.monotonic()
    with pytest.raises(InputError):
        uploads.read("walk.bvh", b"")
    assert b"got away" not in b"".join(answers)
    assert time.monotonic() - begin < 25


def test_missing_values_and_infinite_ones_pass_as_missing(tmp_path):
    joints = np.zeros((5, 1, 25, 3), np.float32)
    joints[2] = np.nan
    joints[3, :, 4] = np.inf
    np.savez(tmp_path / "a.npz", joints=joints, layout="ntu25")
    try:
        motion = uploads.read("a.npz", (tmp_path / "a.npz").read_bytes())
    except InputError:
        return  # refused in words, which is as good
    assert np.isfinite(motion.joints).all()


@pytest.mark.parametrize(
    "name", ["../../evil.bvh", "/etc/passwd", "C:\\x\\evil.bvh", "a\0b.bvh", "<img src=x>.bvh", "...", ""]
)
def test_names_of_files_are_words(name):
    kept = uploads.clean(name)
    assert kept
    assert not set('/\\\0<>:"|?*') & set(kept)
    assert not kept.startswith(".")


def test_few_files_at_once():
    waiting = uploads.Uploads()
    turns = [waiting.turn() for _ in range(uploads.AT_ONCE)]
    for turn in turns:
        turn.__enter__()
    waiting._queued = uploads.AT_ONCE + uploads.WAITING
    with pytest.raises(uploads.Busy), waiting.turn():
        pass


def test_a_file_is_read_searched_and_forgotten(served, made):
    status, answer = post(served, "/api/uploads?name=walk.bvh", made.bvh.read_bytes(), "application/octet-stream")
    assert status == 200, answer
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert said["frames"] > 10
    assert said["joints"]["found"] > 8
    body = json.dumps({"query": {"upload": said["upload"]}, "k": 3}).encode()
    found = json.loads(post(served, "/api/search", body)[1].partition(b"\r\n\r\n")[2])["hits"]
    assert found[0]["label"] == "walk"
    path = f"/api/uploads/{said['upload']}"
    assert get(served, path)[0] == 200
    assert raw(served, [f"DELETE {path} HTTP/1.1", f"Host: {served.host}", f"X-Kineme-Token: {served.token}"])[0] == 200
    assert get(served, path)[0] == 400


@pytest.mark.parametrize("data", [b"", b"KNB1", b"KNB1\xff\xff\xff\xff", b"KNB1\x02\0\0\0{}",
                                  b'KNB1\x0d\0\0\0{"arrays":[1]}',
                                  b'KNB1\x10\0\0\0{"arrays": null}'])  # fmt: skip
def test_what_the_reading_process_says_is_not_trusted(data):
    with pytest.raises(ValueError):
        container.read(data)


@pytest.mark.parametrize("member", ["../../slipped.npy", "/tmp/kineme-slipped.npy", "..\\..\\slipped.npy"])
def test_archives_write_nothing(member, tmp_path, monkeypatch):
    """Paths in an archive that lead out of its folder: names of arrays, which nobody unpacks."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = bomb(tmp_path / "slip.npz", member, frames=40)
    before = {each: each.stat().st_mtime for each in tmp_path.rglob("*")}
    with pytest.raises(InputError):
        uploads.read(path.name, path.read_bytes())
    assert {each: each.stat().st_mtime for each in tmp_path.rglob("*")} == before
    assert not Path("/tmp/kineme-slipped.npy").exists()


# ---------------------------------------------------------------------------------------------- load, and what is said


def held_open(served, body: bytes = b"{") -> socket.socket:
    """A request that does not end: its body is longer than what is sent."""
    link = socket.create_connection(("127.0.0.1", served.port), 60)
    lines = [f"POST /api/search HTTP/1.1\r\nHost: {served.host}\r\nX-Kineme-Token: {served.token}\r\n"]
    lines.append("Content-Type: application/json\r\nContent-Length: 99\r\n\r\n")
    link.sendall("".join(lines).encode() + body)
    return link


@pytest.mark.slow
def test_so_many_at_once_and_so_long(served):
    """The 65th request is told to come back; those that do not end are ended; then all is as before."""
    links = [held_open(served) for _ in range(guard.MOST_REQUESTS)]
    begin = time.monotonic()
    try:
        chromium.waited(lambda: get(served, "/api/store")[0] == 503, guard.SECONDS)
        status, answer = get(served, "/api/store")
        assert (status, code(answer)) == (503, "too_busy")
        assert b"retry-after: 1" in answer.lower()
        ended = b""
        while not ended.endswith(b"}"):
            ended += links[0].recv(65536)
        assert int(ended.split()[1]) == 503
        assert code(ended) == "too_busy"
        assert time.monotonic() - begin < 3 * guard.SECONDS
    finally:
        for link in links:
            link.close()
    chromium.waited(lambda: get(served, "/api/store")[0] == 200)


def test_who_hangs_up_makes_room(served):
    links = [held_open(served) for _ in range(guard.MOST_REQUESTS)]
    for link in links:
        link.close()
    chromium.waited(lambda: get(served, "/api/store")[0] == 200, 5)


def test_fifty_clients_lose_nothing(served):
    found: list[int] = []

    def ask() -> None:
        link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        for row in range(4):
            link.request("GET", f"/api/clip/{row}", headers={"Host": served.host, "X-Kineme-Token": served.token})
            answer = link.getresponse()
            found.append(answer.status)
            answer.read()

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 200


def test_errors_name_no_place():
    answer = answers.refusal(
        400, "bad_file", "x in /home/me/secret/walk.bvh", "C:\\Users\\me\\walk.bvh", fix="see /a/b/c"
    )
    said = json.loads(answer.body)["error"]
    assert "secret" not in said["what"]
    assert said["where"] == "walk.bvh"
    assert said["fix"] == "see c"


def test_the_terminal_hears_no_token_and_no_names(served, made):
    get(served, "/api/find?text=secretname")
    assert served.text.count(served.token) == 1  # in the address
    assert "secretname" not in served.text
