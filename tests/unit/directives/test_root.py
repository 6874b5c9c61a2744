from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.config.file_specs import FilesSpec
from posthouse.config.specs import SiteSpec


def test_a_folder(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("root /srv/www")
    assert site.root == "/srv/www"
    assert site.files == FilesSpec(hidden=("Caddyfile",))
    assert site.files.place.line == 2


def test_the_last_line_counts(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("root a {\ndotfiles\n}\nroot b")
    assert (site.root, site.files) == ("b", FilesSpec(hidden=("Caddyfile",)))


@pytest.mark.parametrize("text", ["root www { dotfiles }", "root www {\ndotfiles\n}"])
def test_dot_files(read_site: Callable[[str], SiteSpec], text: str) -> None:
    files = read_site(text).files
    assert files is not None and files.has_dotfiles


def test_without_it_no_folder_is_published(read_site: Callable[[str], SiteSpec]) -> None:
    site = read_site("proxy / localhost:1\next .html\nmime .x image/x")
    assert (site.root, site.files) == ("", None)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("root", "1:1 too few arguments for `root`: found none, expected 1 argument"),
        ("root a b", "1:8 too many arguments for `root`: found `b`, expected 1 argument"),
        ('root ""', "1:6 expected a folder such as `/srv/www`, found an empty word"),
        ("root a {\nlinks\n}", "2:1 unknown property `links` of `root`"),
    ],
)
def test_mistakes(find_mistakes: Callable[[str], list[str]], text: str, mistake: str) -> None:
    assert find_mistakes(text) == [mistake]
