"""The admin socket: HTTP/1.1 and JSON on a Unix socket, for the commands of the same machine and user."""
