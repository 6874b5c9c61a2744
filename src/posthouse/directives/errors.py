"""`errors [FILE|stdout|stderr|syslog|visible] { STATUS|* PAGE · rotate_* }`: the log of errors, and their pages."""

from __future__ import annotations

from dataclasses import replace

from posthouse.caddyfile.dispenser import Arity, Dispenser, Property
from posthouse.caddyfile.messages import quote
from posthouse.config.specs import ErrorsSpec
from posthouse.directives.arguments import Rejected, each
from posthouse.directives.draft import SiteDraft
from posthouse.directives.log_output import ROTATION, read_output, read_rotation, rotation_notices

VISIBLE = "visible"
_ANY = "*"
_STATUSES = range(400, 600)
_PAGE = Arity(1, 1)
_NO_ERRORS = {
    str(
        status
    ): f"pages are for errors: a status from {_STATUSES[0]} to {_STATUSES[-1]}, or `{_ANY}` for all of them"
    for status in (*range(_STATUSES[0]), *range(_STATUSES[-1] + 1, 1000))
}
_TABLE = {_ANY: _PAGE, **{str(status): _PAGE for status in _STATUSES}, **ROTATION}


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Sets `site.errors`; a second `errors` adds to the first. Raises Rejected."""
    if not dispenser.check_args(Arity(0, 1)):
        return
    errors = site.errors or ErrorsSpec(place=dispenser.name.place)
    if dispenser.args:
        if dispenser.args[0].text == VISIBLE:
            errors = replace(errors, is_visible=True)
        else:
            errors = replace(errors, output=read_output(dispenser.args[0]))
    site.errors = errors
    each(dispenser, dispenser.properties(_TABLE, _NO_ERRORS), lambda one: _read_one(one, site, errors))
    is_log = not errors.is_visible
    output = errors.output if is_log else VISIBLE
    site.notices += rotation_notices(output, site.errors.rotation, is_log=is_log)


def _read_one(one: Property, site: SiteDraft, first: ErrorsSpec) -> None:
    errors = site.errors or first
    if one.name.text in ROTATION:
        site.errors = replace(errors, rotation=read_rotation(one, errors.rotation))
        return
    status = 0 if one.name.text == _ANY else int(one.name.text)
    if status in dict(errors.pages):
        raise Rejected(one.name, f"there is a page for {quote(one.name)} already")
    page = one.args[0]
    if not page.text or "\0" in page.text:
        raise Rejected(page, "expected the file of a page, found an empty name")
    site.errors = replace(errors, pages=(*errors.pages, (status, page.text)))
