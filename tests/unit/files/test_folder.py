"""What may be opened below a root, and what not, whatever the path."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.files.folder import Folder, Opened, refusal
from posthouse.proxy.answer import Answer


def status(found: Opened | Answer) -> int:
    """200 if it was opened (and is closed now), else the status."""
    if isinstance(found, Answer):
        return found.status
    found.close()
    return 200


@pytest.mark.parametrize(
    "path", ["/file", "/file/", "/sub", "/sub/", "/sub/file", "/a...b", "/.well-known/acme", "/.well-known"]
)
def test_what_is_there(www: Path, path: str) -> None:
    (www / "sub").mkdir()
    (www / ".well-known").mkdir()
    for name in ("file", "sub/file", "a...b", ".well-known/acme"):
        (www / name).touch()
    assert status(Folder(str(www)).open(path)) == 200


FORBIDDEN = [
    *("/../secret.txt", "/sub/../../secret.txt", "/..", "/.", "/./file", "/sub/..", "/../www/file"),
    *("/.hidden", "/.hidden/x", "/sub/.env", "/sub/.well-known/x", "/.well-known/.x", "/..."),
    *("file", "", "../secret.txt", "/file\0", "/\0", "/nothing", "/file/x", "/" + "x" * 300, "/x" * 4000),
]


@pytest.mark.parametrize("path", FORBIDDEN)
def test_what_is_not_there(www: Path, path: str) -> None:
    (www / "sub").mkdir()
    (www / "sub" / ".well-known").mkdir()
    (www / ".well-known").mkdir()
    (www / ".hidden").mkdir()
    for name in ("file", ".hidden/x", "sub/.env", "sub/.well-known/x", ".well-known/.x", "..."):
        (www / name).touch()
    folder = Folder(str(www))
    assert status(folder.open(path)) == 404
    assert not folder.exists(path)


@pytest.mark.parametrize("path", ["/.hidden", "/sub/.env", "/..."])
def test_dot_files_for_who_asks_for_them(www: Path, path: str) -> None:
    (www / "sub").mkdir()
    for name in (".hidden", "sub/.env", "..."):
        (www / name).touch()
    folder = Folder(str(www), has_dotfiles=True)
    assert status(folder.open(path)) == 200
    assert folder.exists(path)
    assert status(folder.open("/../secret.txt")) == 404


segments = st.sampled_from(
    ["..", ".", "...", "", "a", "b", "secret.txt", "www", "..\\", "\udcff", "é", "%2e%2e", "\0"]
)


@given(st.lists(segments | st.text(max_size=4), max_size=8).map("/".join), st.booleans())
def test_whatever_the_path_the_file_lies_below_the_root(
    tmp_path_factory: pytest.TempPathFactory, path: str, has_dotfiles: bool
) -> None:
    top = tmp_path_factory.getbasetemp() / "below"
    if not top.exists():
        (top / "www" / "a" / "b").mkdir(parents=True)
        for name in ("secret.txt", "www/b", "www/a/a", "www/a/b/secret.txt", "www/...", "www/é"):
            (top / name).write_bytes(b"x")
    folder = Folder(str(top / "www"), has_dotfiles=has_dotfiles)
    try:
        found = folder.open("/" + path)
    except UnicodeEncodeError:
        # Only what was decoded from bytes can come from the wire.
        return
    if isinstance(found, Opened):
        with found:
            real = os.readlink(f"/proc/self/fd/{found.fd}")
        assert (real + "/").startswith(str(top / "www") + "/")


def test_only_files_and_folders(www: Path) -> None:
    """A FIFO without a writer must not hold up the loop; sockets and devices are nothing to serve."""
    os.mkfifo(www / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(www / "socket"))
    (www / "null").symlink_to("/dev/null")
    folder = Folder(str(www))
    for path in ("/fifo", "/socket", "/null"):
        assert status(folder.open(path)) == 404
        assert not folder.exists(path)


def test_links_are_followed_as_in_v1(www: Path) -> None:
    (www / "outside").symlink_to("../secret.txt")
    (www / "loop").symlink_to("loop")
    (www / "broken").symlink_to("nowhere")
    folder = Folder(str(www))
    assert [status(folder.open(path)) for path in ("/outside", "/loop", "/broken")] == [200, 404, 404]


def test_the_configuration_is_hidden(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (www / "Caddyfile").write_text("x")
    (www / "copy").hardlink_to(www / "Caddyfile")
    (www / "link").symlink_to("Caddyfile")
    (www / "other").touch()
    monkeypatch.chdir(www)
    folder = Folder(".", hidden=["Caddyfile", "gone.conf"])
    assert folder.exists("/") and not folder.exists("/other/") and folder.exists("/other")
    for path in ("/Caddyfile", "/copy", "/link", "/Caddyfile/"):
        assert status(folder.open(path)) == 404
        assert not folder.exists(path)
    assert status(folder.open("/other")) == 200
    # An editor writes a new file and renames it.
    (www / "new").write_text("y")
    (www / "new").rename(www / "Caddyfile")
    assert status(folder.open("/Caddyfile")) == 404
    (www / "gone.conf").touch()
    assert status(folder.open("/gone.conf")) == 404


def test_hidden_also_where_the_root_is_a_link(www: Path, tmp_path: Path) -> None:
    (www / "Caddyfile").touch()
    (tmp_path / "current").symlink_to("www")
    folder = Folder(str(tmp_path / "current"), hidden=[str(www / "Caddyfile")])
    (www / "new").touch()
    (www / "new").rename(www / "Caddyfile")
    assert status(folder.open("/Caddyfile")) == 404


def test_the_whole_file_system_may_be_a_root() -> None:
    folder = Folder("/")
    assert folder.locate("/") == b"/"
    assert folder.locate("/proc/self") == b"/proc/self"
    assert status(folder.open("/proc/self/status")) == 200


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        *[(one, 404) for one in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO)],
        *[(one, 403) for one in (errno.EACCES, errno.EPERM)],
        *[(one, 503) for one in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)],
        (errno.EIO, 500),
    ],
)
def test_what_the_system_says(www: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: int) -> None:
    def fails(*_: object) -> int:
        raise OSError(number, os.strerror(number), "/srv/secret/name")

    monkeypatch.setattr(os, "open", fails)
    found = Folder(str(www)).open("/x")
    assert isinstance(found, Answer)
    assert found.status == expected
    assert [one.wire for one in found.fields] == ([b"Retry-After: 3\r\n"] if expected == 503 else [])
    assert found.cause == ("" if expected == 404 else f"the file cannot be opened: {os.strerror(number)}")
    assert "secret" not in refusal(OSError(number, "why", "/srv/secret/name")).cause


def test_a_descriptor_is_given_back_or_taken(www: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (www / "file").touch()
    found = Folder(str(www)).open("/file")
    assert isinstance(found, Opened)
    with found:
        fd = found.take()
    os.fstat(fd)
    found.close()
    os.close(fd)

    def fails(_: int) -> os.stat_result:
        raise OSError(errno.EIO, "x")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fails)
        answer = Folder(str(www)).open("/file")
    assert status(answer) == 500
