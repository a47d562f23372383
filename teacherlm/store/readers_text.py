"""Text files as lines of bytes or text: plain or gzip'd, in any encoding, each line with its number."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from teacherlm.errors import UserError

Row = dict[str, Any]
Found = Iterator[tuple[str, Row | UserError]]
"""(where a message says the row is, the row or why it cannot be read)."""


class BrokenRow(UserError):
    """A row that cannot be read; `found` is what stands there instead."""

    def __init__(self, message: str, found: Row) -> None:
        super().__init__(message)
        self.found = found


MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before utf-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
GZIP = ".gz"


def plain_name(path: Path) -> str:
    """The file's name without `.gz`."""
    return path.name.removesuffix(GZIP)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked.

    Raises: UserError for what is no file, and for a gzip file that is damaged or cut short.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; a file is needed.")
    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        with path.open("rb") as raw:
            if path.suffix != GZIP:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, unpacked), 1 << 18))
    except EOFError:
        raise UserError(f"{path}: the gzip file is cut short; fetch or copy it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: is not a sound gzip file ({error}).") from None


def encoding_of(path: Path, given: str) -> str:
    """What the file's byte order mark says, else what was given.

    Raises: UserError for an encoding that is not known.
    """
    with opened(path) as file:
        start = file.read(4)
    for mark, name in MARKS:
        if start.startswith(mark):
            return name
    try:
        return codecs.lookup(given).name
    except LookupError:
        raise UserError(f"encoding: {given!r} is not known; expected utf-8, latin-1, cp1252, utf-16, gb18030 or the like.") from None


def byte_lines(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        yield from file


def cuts_at_bytes(encoding: str) -> bool:
    """Whether a line break is one byte and nothing else holds that byte: lines can be cut before they are decoded."""
    return not encoding.startswith(("utf-16", "utf-32", "utf-7")) and "\n".encode(encoding) == b"\n"


def text_lines(path: Path, encoding: str) -> Iterator[tuple[str, BrokenRow | None]]:
    """(line with its end, what is wrong with its bytes); a line that is not in the encoding comes with stand-ins for its bad bytes."""
    if not cuts_at_bytes(encoding):
        yield from ((line, None) for line in _decoded_lines(path, encoding))
        return
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    for number, line in enumerate(byte_lines(path), start=1):
        if number == 1 and encoding == "utf-8-sig":
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            yield line.decode(name), None
        except UnicodeDecodeError as error:
            yield line.decode(name, "backslashreplace"), undecodable(f"{path}:{number}", error, name)


def undecodable(where: str, error: UnicodeDecodeError, encoding: str = "utf-8") -> BrokenRow:
    """`file:line: byte 0xe9 at column 14 is not utf-8; ...`."""
    byte, column = error.object[error.start], error.start + 1
    advice = "latin-1 (or what it is)" if encoding in ("utf-8", "ascii") else "the one it is in"
    line = error.object.decode(encoding, "backslashreplace").rstrip("\r\n")
    return BrokenRow(f"{where}: byte {byte:#04x} at column {column} is not {encoding}; say encoding: {advice}.", {"line": line})


def _decoded_lines(path: Path, encoding: str) -> Iterator[str]:
    """Lines of an encoding in which a line break is more than one byte; nothing can be read behind a bad one."""
    number = 0
    with opened(path) as file:
        text: TextIO = io.TextIOWrapper(file, encoding, newline="\n")
        try:
            for number, line in enumerate(text, start=1):
                yield line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeError as error:
            raise UserError(f"{path}: behind line {number}: is not {encoding} ({getattr(error, 'reason', error)}).") from None
