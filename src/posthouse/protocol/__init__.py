"""HTTP without I/O: bytes to structures and back. No socket, no event loop, no clock."""
