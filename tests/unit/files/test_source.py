from __future__ import annotations

import os
from pathlib import Path

import pytest

from posthouse.files.ranges import Part
from posthouse.files.source import FileSource, PartsSource, multipart
from posthouse.proxy.answer import Source

DATA = bytes(range(100))


def opened(folder: Path) -> int:
    (folder / "file").write_bytes(DATA)
    return os.open(folder / "file", os.O_RDONLY)


def everything(source: Source, most: int) -> bytes:
    data = b""
    while len(data) < source.length:
        piece = source.read(min(most, source.length - len(data)))
        assert 0 < len(piece) <= most
        data += piece
    source.close()
    return data


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_a_part(tmp_path: Path, most: int) -> None:
    assert everything(FileSource(opened(tmp_path), (20, 50)), most) == DATA[20:50]


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_parts_with_text_between(tmp_path: Path, most: int) -> None:
    pieces: list[bytes | Part] = [b"first", (0, 10), b"then", (90, 100), b"end"]
    source = PartsSource(opened(tmp_path), pieces)
    assert source.length == 32
    assert everything(source, most) == b"first" + DATA[:10] + b"then" + DATA[90:] + b"end"


def test_a_file_that_has_become_shorter(tmp_path: Path) -> None:
    for source in (FileSource(opened(tmp_path), (0, 100)), PartsSource(opened(tmp_path), [(0, 100), b"end"])):
        assert len(source.read(40)) == 40
        os.truncate(tmp_path / "file", 40)
        assert source.read(40) == b""
        source.close()


def test_a_body_in_parts() -> None:
    pieces = multipart(b"B", b"text/plain", [(0, 2), (5, 6)], 10)
    assert pieces == [
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n",
        (0, 2),
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/10\r\n\r\n",
        (5, 6),
        b"\r\n--B--\r\n",
    ]
