"""A pack as a Git server sends it, measured before anything in it is built.

A pack names the size of each object and packs them with zlib. Here every object is unpacked a
piece at a time and thrown away, so that a bomb is found in bounded memory.
"""

import zlib
from typing import BinaryIO

from tidemill.steps.failures import StepError

LARGEST = 256 << 20
"""Bytes of the largest object that is built in memory; larger files belong into Git LFS or DVC."""
MOST = 2_000_000
"""Objects of one pack."""
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_PIECE = 64 << 10


class _Reader:
    """Bytes of a file one after the other, some of them given back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = b""

    def read(self, length: int) -> bytes:
        """Just as many bytes. Raises EOFError."""
        while len(self._held) < length:
            self._held += self._more()
        taken, self._held = self._held[:length], self._held[length:]
        return taken

    def _more(self) -> bytes:
        piece = self._file.read(_PIECE)
        if not piece:
            raise EOFError
        return piece

    def piece(self) -> bytes:
        """Some bytes."""
        taken, self._held = self._held or self._more(), b""
        return taken

    def back(self, rest: bytes) -> None:
        """Take back what was not needed."""
        self._held = rest + self._held

    def number(self) -> tuple[int, int]:
        """An object's type and size."""
        byte = self.read(1)[0]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 128:
            byte = self.read(1)[0]
            size |= (byte & 127) << shift
            shift += 7
        return kind, size


def measure(file: BinaryIO, where: str, largest: int = LARGEST) -> None:
    """Unpack a pack to nowhere. Raises ObjectTooLarge, or UnreadableObject for what is no pack."""
    reader = _Reader(file)
    try:
        head = reader.read(12)
        count = int.from_bytes(head[8:], "big")
        if head[:4] != b"PACK" or count > MOST:
            said = f"{where} sent no pack of at most {MOST:,} objects; name a smaller repository"
            raise StepError("UnreadableObject", said)
        for _ in range(count):
            _object(reader, where, largest)
    except (EOFError, zlib.error) as error:
        said = f"{where} sent a pack that is cut short or damaged"
        raise StepError("SourceUnavailable", said, transient=True) from error


def _object(reader: _Reader, where: str, largest: int) -> None:
    kind, size = reader.number()
    if kind == _OFFSET_DELTA:
        while reader.read(1)[0] & 128:
            pass
    elif kind == _REFERENCE_DELTA:
        reader.read(20)
    head = _inflate(reader, size, where, largest)
    if kind in (_OFFSET_DELTA, _REFERENCE_DELTA):
        _, rest = _length(head)
        made, _ = _length(rest)
        if made > largest:
            raise _too_large(where, largest)


def _inflate(reader: _Reader, size: int, where: str, largest: int) -> bytes:
    """Unpack one object and return its first bytes."""
    if size > largest:
        raise _too_large(where, largest)
    unpacking, head, seen = zlib.decompressobj(), b"", 0
    while not unpacking.eof:
        piece = unpacking.unconsumed_tail or reader.piece()
        out = unpacking.decompress(piece, _PIECE)
        head = head or out[:32]
        seen += len(out)
        if seen > size:
            raise _too_large(where, largest)
    reader.back(unpacking.unused_data)
    return head


def _length(data: bytes) -> tuple[int, bytes]:
    """A delta's length and what follows it."""
    size = shift = index = 0
    while index < len(data):
        byte = data[index]
        size |= (byte & 127) << shift
        shift, index = shift + 7, index + 1
        if not byte & 128:
            break
    return size, data[index:]


def _too_large(where: str, largest: int) -> StepError:
    said = f"{where} holds a file of more than {largest:,} bytes, or one that says it has fewer"
    return StepError("ObjectTooLarge", f"{said}; keep it in Git LFS or DVC")
