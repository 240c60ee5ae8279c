# The extension that `_starter.c` becomes, which describes its function.

def start(
    path: bytes,
    argv: list[bytes],
    environment: list[bytes | bytearray],
    request: object,
    /,
) -> int: ...
