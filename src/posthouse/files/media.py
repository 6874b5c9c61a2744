"""Media types by the ending of a name. A table of our own: what a file is called must not depend on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from posthouse.protocol.fields import Field
from posthouse.protocol.target import ending

_TYPES: Final[dict[str, str]] = {
    "text/html; charset=utf-8": "html htm shtml",
    "text/plain; charset=utf-8": "txt text log conf ini cfg diff patch",
    "text/css; charset=utf-8": "css",
    "text/javascript; charset=utf-8": "js mjs cjs",
    "text/markdown; charset=utf-8": "md markdown",
    "text/csv; charset=utf-8": "csv",
    "text/tab-separated-values; charset=utf-8": "tsv",
    "text/calendar; charset=utf-8": "ics ifb",
    "text/vcard; charset=utf-8": "vcf vcard",
    "text/vtt; charset=utf-8": "vtt",
    "text/xml; charset=utf-8": "xml xsl xsd",
    "text/x-component; charset=utf-8": "htc",
    "text/yaml; charset=utf-8": "yaml yml",
    "application/xhtml+xml": "xhtml",
    "application/atom+xml": "atom",
    "application/rss+xml": "rss",
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/geo+json": "geojson",
    "application/manifest+json": "webmanifest",
    "application/toml": "toml",
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/rtf": "rtf",
    "application/postscript": "ps eps ai",
    "application/epub+zip": "epub",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.ms-fontobject": "eot",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/dash+xml": "mpd",
    "application/java-archive": "jar war ear",
    "application/zip": "zip",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/zstd": "zst",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/x-tar": "tar",
    "application/x-sh": "sh",
    "application/sql": "sql",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg jpe",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/jxl": "jxl",
    "image/heic": "heic",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/x-icon": "ico cur",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "oga ogg opus",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/midi": "mid midi",
    "audio/webm": "weba",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/mpeg": "mpeg mpg",
    "video/mp2t": "ts",
    "video/quicktime": "mov",
    "video/x-msvideo": "avi",
    "video/x-matroska": "mkv",
    "video/3gpp": "3gp",
}

UNKNOWN: Final = (
    Field(b"Content-Type", b"application/octet-stream"),
    Field(b"X-Content-Type-Options", b"nosniff"),
)
"""What we cannot name, nobody shall guess: a browser saves it, and never runs it."""


class MediaTypes:
    """The fields that say what a file is: by the site's own `mime` lines, then by our table.

    own  ending with its dot, lower case -> media type
    """

    __slots__ = ("_fields",)

    def __init__(self, own: Mapping[str, str]) -> None:
        known = {f".{name}": media_type for media_type, names in _TYPES.items() for name in names.split()}
        known.update(own)
        self._fields = {
            name: (Field(b"Content-Type", media_type.encode("ascii")),) for name, media_type in known.items()
        }

    def fields(self, path: str) -> tuple[Field, ...]:
        """Content-Type, and what goes with it, by a path's ending."""
        return self._fields.get(ending(path), UNKNOWN)
