"""`ext .EXT...`: a path without an ending gets the first of these that makes it a file."""

from __future__ import annotations

from posthouse.caddyfile.dispenser import Arity, Dispenser
from posthouse.caddyfile.messages import quote
from posthouse.directives.arguments import Rejected
from posthouse.directives.draft import SiteDraft


def read(dispenser: Dispenser, site: SiteDraft) -> None:
    """Adds to `site.ext`. Raises Rejected."""
    if not (dispenser.refuse_block() and dispenser.check_args(Arity(1, None))):
        return
    for token in dispenser.args:
        if not token.text.startswith((".", "/")) or ".." in token.text or "\0" in token.text:
            hint = "" if "." in token.text else f"did you mean `.{token.text}`?"
            raise Rejected(token, f"expected an ending such as `.html`, found {quote(token)}", hint)
        site.ext.append(token.text)
