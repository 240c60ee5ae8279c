"""The sockets of the operating system, without the module in Python around them.

`socket` makes an enum of each kind of its hundreds of numbers, which takes longer than to connect.
To a type checker this is that module.
"""

TYPE_CHECKING = False  # as in frozen.py
if TYPE_CHECKING:
    import socket
else:
    try:
        import _socket as socket
    except ImportError:  # pragma: no cover -- it is private to Python, so it can move
        import socket

__all__ = ["socket"]
