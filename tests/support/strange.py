"""What a process that was taken over may put where another looks for a file of ours."""

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # A socket's path is short.
    with closing(socket.socket(socket.AF_UNIX)) as wire:
        wire.bind(path.name)
    os.chdir(here)


def a_file_of_a_terabyte(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


STRANGE: dict[str, Callable[[Path], object]] = {
    "a pipe": a_pipe,
    "a socket": a_socket,
    "a directory": Path.mkdir,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "a device that waits": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a name that is too long": lambda path: path.symlink_to("x" * 300),
    "a link to the recorder's secret": lambda path: path.symlink_to(
        next(p for p in path.parents if (p / "home").is_dir()) / "home" / "kit" / "signing.key"
    ),
    "a file of a terabyte": a_file_of_a_terabyte,
    "nothing": Path.touch,
    "what is no text": lambda path: path.write_bytes(b"\xff\0" * 1000),
    "brackets in brackets": lambda path: path.write_bytes(b'{"attune":' + b"[" * 60_000),
    "brackets in names": lambda path: path.write_bytes(b'{"x":' * 12_000),
    "half a letter": lambda path: path.write_bytes(b'{"attune":"stop/v1","id":"\\udc00"}'),
    "a list": lambda path: path.write_bytes(b"[]"),
    "another record": lambda path: path.write_bytes(b'{"attune":"at-base/v2","boot":""}\n'),
}
