"""FileServer: answers a path with what lies below the site's root.

In order: the method, what is there, the canonical form of its path, an index file or a listing, a coded form that
lies beside it, the conditions of the request, the range. Everything is read in the event loop
(docs/decisions). A descriptor is closed where it was opened, unless the source of the answer has taken it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from posthouse.files.conditions import NO_DATE, judge, may_range
from posthouse.files.dates import last_modified
from posthouse.files.folder import NOT_FOUND, Folder, Opened
from posthouse.files.listing import Listings
from posthouse.files.media import MediaTypes
from posthouse.files.precompressed import accepted, beside
from posthouse.files.ranges import parse_ranges
from posthouse.files.source import FileSource, PartsSource, multipart
from posthouse.protocol.fields import Field
from posthouse.protocol.h1 import RequestHead
from posthouse.protocol.target import encode_path
from posthouse.proxy.answer import Answer, Visit, Wait

_ALLOW: Final = Field(b"Allow", b"GET, HEAD")
_ACCEPT_RANGES: Final = Field(b"Accept-Ranges", b"bytes")
_VARY: Final = Field(b"Vary", b"Accept-Encoding")
_OF_THE_BODY: Final = frozenset((b"content-type", b"content-encoding", b"x-content-type-options"))


class FileServer:
    """What answers where no route does (proxy/answer.py: Responder).

    index     names of the files that stand for a folder
    listings  of folders without one; None: they are not there
    prefixes  paths of the site's addresses, as matchers compare them
    clock     seconds since 1970
    """

    __slots__ = ("_folder", "_index", "_listings", "_media", "_prefixes", "clock")

    def __init__(
        self,
        folder: Folder,
        media: MediaTypes,
        index: Sequence[str],
        listings: Listings | None = None,
        prefixes: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._media = media
        self._index = tuple(index)
        self._listings = listings
        self._prefixes = sorted(prefixes, key=len, reverse=True)
        self.clock: Callable[[], float] = time.time

    def __repr__(self) -> str:
        return f"<FileServer {self._folder!r}>"

    def respond(self, visit: Visit, head: RequestHead) -> Answer | Wait:
        """The answer to a request for `visit.path`."""
        if head.method not in (b"GET", b"HEAD"):
            return Answer(405, (_ALLOW,))
        path = visit.path
        opened = self._folder.open(path)
        if isinstance(opened, Answer):
            return opened
        with opened:
            # After `rewrite` or `ext` the client's path is another one, and sending it here might go in a circle.
            asked = visit.head.target.path
            if opened.is_folder:
                folder = path if path.endswith("/") else path + "/"
                # No further than that: the steps have judged the path without its slash, and a client that asked for
                # another path must not get past a `basicauth` for the one with it.
                is_canonical = folder == path or asked == self._prefix(visit) + folder
                return self._folder_answer(visit, folder, head) if is_canonical else self._move(visit, folder)
            canonical = self._canonical(path) if asked.endswith(path) else path
            if canonical != path:
                return self._move(visit, canonical)
            return self._file(opened, path.rstrip("/"), head)

    def _canonical(self, path: str) -> str:
        """A file's path ends with no slash, and a folder is asked for instead of its index file, as in v1."""
        path = path.rstrip("/")
        start = path.rfind("/") + 1
        return path[:start] if path[start:] in self._index else path

    def _move(self, visit: Visit, path: str) -> Answer:
        """301 to another path of the site.

        Made from the normal form, it begins with exactly one slash: `//evil.example/..` leads to nobody else's host.
        """
        prefix = self._prefix(visit)
        location = encode_path((prefix + path).encode("utf-8", "surrogateescape")) + visit.query
        return Answer(301, (Field(b"Location", location),))

    def _prefix(self, visit: Visit) -> str:
        """What the site's address cut off the client's path."""
        target = visit.head.target
        if target.path.endswith(visit.path):
            return target.path[: -len(visit.path)]
        found = next((prefix for prefix in self._prefixes if target.key.startswith(prefix)), "")
        return target.path[: len(found)].rstrip("/")

    # -- folders -------------------------------------------------------------------------------------------------

    def _folder_answer(self, visit: Visit, path: str, head: RequestHead) -> Answer | Wait:
        """Its index file, or its listing; `path` ends with a slash."""
        for name in self._index:
            found = self._folder.open(path + name)
            if not isinstance(found, Answer):
                with found:
                    if not found.is_folder:
                        return self._file(found, path + name, head)
            elif found.status != 404:
                return found  # with descriptors gone, an index that is there must not become a listing
        if self._listings is None or not self._listings.has(visit.key):
            return NOT_FOUND
        return self._listings.answer(self._folder, visit, head)

    # -- files ---------------------------------------------------------------------------------------------------

    def _file(self, opened: Opened, path: str, head: RequestHead) -> Answer:
        fields = [*self._media.fields(path)]
        there = beside(opened.name)
        if there:
            fields.append(_VARY)
            coding, coded = self._coded(opened, path, there, accepted(head.fields.value(b"accept-encoding")))
            if coded is not None:
                fields.append(Field(b"Content-Encoding", coding))
                with coded:
                    return self._representation(coded, fields, b"-" + coding, head)
        return self._representation(opened, fields, b"", head)

    def _coded(
        self, opened: Opened, path: str, there: Sequence[tuple[bytes, str]], wanted: Sequence[bytes]
    ) -> tuple[bytes, Opened | None]:
        """The coded form that the client likes best, open. One that is older than the file is out of date."""
        endings = dict(there)
        for coding in wanted:
            if coding not in endings:
                continue
            found = self._folder.open(path + endings[coding])
            if isinstance(found, Answer):
                continue
            # Whole seconds: archives and copies keep no more of a time.
            if not found.is_folder and int(found.stat.st_mtime) >= int(opened.stat.st_mtime):
                return coding, found
            found.close()
        return b"", None

    def _representation(self, opened: Opened, fields: list[Field], tail: bytes, head: RequestHead) -> Answer:
        """One form of a file, by the conditions and the range of the request."""
        status = opened.stat
        length = status.st_size
        # Time and size, and no inode: several machines with the same files give the same tags.
        etag = b'"%x-%x%b"' % (status.st_mtime_ns, length, tail)
        now = int(self.clock())
        # RFC 9110 8.8.2.1: a time that is still to come is not told.
        changed = last_modified(min(int(status.st_mtime), now))
        modified = NO_DATE if changed is None else int(status.st_mtime)
        fields.append(Field(b"ETag", etag))
        if changed is not None:
            fields.append(changed)
        verdict = judge(head.fields, etag, modified)
        if verdict:
            # A 304 says of the body only which one it is (RFC 9110 15.4.5).
            kept = [field for field in fields if verdict == 304 and field.lower not in _OF_THE_BODY]
            return Answer(verdict, tuple(kept))
        fields.append(_ACCEPT_RANGES)
        wanted = head.fields.value(b"range")
        if wanted is not None and head.method == b"GET" and may_range(head.fields, etag, modified, now):
            parts = parse_ranges(wanted, length)
            if parts is not None:
                return self._partial(opened, fields, parts, length)
        return Answer(200, tuple(fields), FileSource(opened.take(), (0, length)))

    def _partial(
        self, opened: Opened, fields: list[Field], parts: Sequence[tuple[int, int]], length: int
    ) -> Answer:
        if not parts:
            return Answer(416, (Field(b"Content-Range", b"bytes */%d" % length),))
        if len(parts) == 1:
            start, stop = parts[0]
            fields.append(Field(b"Content-Range", b"bytes %d-%d/%d" % (start, stop - 1, length)))
            return Answer(206, tuple(fields), FileSource(opened.take(), parts[0]))
        boundary = os.urandom(16).hex().encode("ascii")
        pieces = multipart(boundary, fields[0].value, parts, length)
        fields[0] = Field(b"Content-Type", b"multipart/byteranges; boundary=" + boundary)
        return Answer(206, tuple(fields), PartsSource(opened.take(), pieces))
