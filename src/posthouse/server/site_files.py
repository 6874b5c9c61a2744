"""What a site does with files: its specs become a file server."""

from __future__ import annotations

import os
import stat

from posthouse.config.specs import SiteSpec
from posthouse.errors import ConfigError, Mistake
from posthouse.files.file_server import FileServer
from posthouse.files.folder import Folder
from posthouse.files.listing import Later, Listings
from posthouse.files.media import MediaTypes
from posthouse.observe.process_log import ProcessLog
from posthouse.protocol.target import Targets
from posthouse.proxy.site import path_key


def build_file_server(
    spec: SiteSpec, targets: Targets, log: ProcessLog, call_later: Later
) -> FileServer | None:
    """The file server of a site, None if it has none. Raises ConfigError: its root cannot be one."""
    files = spec.files
    if files is None:
        return None
    try:
        is_folder = stat.S_ISDIR(os.stat(spec.root).st_mode)
    except FileNotFoundError:
        # It may come later, as in v1: a deployment that is under way must not keep Posthouse from starting.
        log.warn("root is not there", root=spec.root, place=str(files.place))
        is_folder = True
    except OSError as error:
        raise ConfigError(
            Mistake(files.place, f"the root `{spec.root}` cannot be used: {error.strerror}", len("root"))
        ) from None
    if not is_folder:
        raise ConfigError(Mistake(files.place, f"the root `{spec.root}` is no folder", len("root")))
    scopes = [path_key(scope, targets) for scope in files.browse]
    return FileServer(
        folder_of(spec),
        MediaTypes(dict(spec.mime)),
        files.index,
        Listings(scopes, call_later) if scopes else None,
        [path_key(address.path, targets) for address in spec.addresses if address.path],
    )


def folder_of(spec: SiteSpec) -> Folder:
    """The root folder of a site."""
    if spec.files is None:
        return Folder(spec.root or ".")
    # The passwords of `basicauth` lie below the root where its FILE is meant as v1 meant it.
    passwords = [name for one in spec.auths if one.file for name in password_files(one.file, spec.root)]
    return Folder(spec.root, has_dotfiles=spec.files.has_dotfiles, hidden=[*spec.files.hidden, *passwords])


def password_files(file: str, root: str) -> list[str]:
    """What `htpasswd=FILE` may mean, in the order tried: relative to the root, as in v1, or an absolute name."""
    below = os.path.join(root, file.lstrip("/")) if root else file
    return [below, file] if file.startswith("/") else [below]
