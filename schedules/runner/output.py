"""A command's output, kept within a fixed size: the first bytes, the last bytes, clean text.

Reads no pipe itself: `runner.child` feeds it what it has read.
"""

import codecs
from collections import deque
from collections.abc import Iterable, Iterator

from schedules.runner.messages import Chunk, Output, Stream

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
# A command that alternates between its streams byte by byte must not cost an object per byte.
HEAD_PIECES = 4 * 1024
TAIL_PIECES = 12 * 1024

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))


class Capture:
    """Takes any amount of output and keeps its beginning and its end, in constant memory."""

    def __init__(self) -> None:
        self._head = _Pieces(HEAD_BYTES, HEAD_PIECES)
        self._tail = _Pieces(TAIL_BYTES, TAIL_PIECES)
        self._seen = 0
        self._dropped = 0

    def feed(self, stream: Stream, data: bytes) -> None:
        self._seen += len(data)
        begin = self._head.room_for(stream) if not self._tail.size else 0
        self._head.append(stream, data[:begin])
        self._tail.append(stream, data[begin:])
        self._dropped += self._tail.trim()

    def output(self) -> Output:
        """What was kept, as text. NUL and bytes that are no UTF-8 become U+FFFD."""
        decoders = _Decoders()
        head = decoders.decode(self._head)
        if self._dropped:  # a character cut at the gap is left out, on either side
            decoders = _Decoders(starts_inside=True)
        tail = decoders.decode(self._tail)
        last = tail or head
        last += decoders.rest()
        return Output(_merged(head), _merged(tail), self._seen, self._dropped)


class _Pieces:
    """Bytes in arrival order and, beside them, which stream each stretch came from."""

    def __init__(self, size_limit: int, count_limit: int) -> None:
        self._size_limit = size_limit
        self._count_limit = count_limit
        self._bytes = bytearray()
        self._marks: deque[tuple[Stream, int]] = deque()

    @property
    def size(self) -> int:
        return len(self._bytes)

    def room_for(self, stream: Stream) -> int:
        starts_a_piece = not self._marks or self._marks[-1][0] != stream
        if starts_a_piece and len(self._marks) >= self._count_limit:
            return 0
        return self._size_limit - self.size

    def append(self, stream: Stream, data: bytes) -> None:
        if not data:
            return
        length = len(data)
        if self._marks and self._marks[-1][0] == stream:
            length += self._marks.pop()[1]
        self._marks.append((stream, length))
        self._bytes += data

    def trim(self) -> int:
        """Forget the oldest bytes beyond the limits; returns how many."""
        before = self.size
        while self.size > self._size_limit or len(self._marks) > self._count_limit:
            stream, length = self._marks.popleft()
            excess = self.size - self._size_limit
            cut = min(length, excess) if excess > 0 else length
            del self._bytes[:cut]
            if cut < length:
                self._marks.appendleft((stream, length - cut))
        return before - self.size

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        begin = 0
        for stream, length in self._marks:
            yield stream, bytes(self._bytes[begin : begin + length])
            begin += length


class _Decoders:
    """Turns pieces into text; a character may begin in one piece and end in a later one."""

    def __init__(self, *, starts_inside: bool = False) -> None:
        new = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": new("replace"), "stderr": new("replace")}
        self._starts_inside = set(self._decoders) if starts_inside else set()

    def decode(self, pieces: Iterable[tuple[Stream, bytes]]) -> list[Chunk]:
        return [Chunk(stream, self._text(stream, data)) for stream, data in pieces]

    def rest(self) -> list[Chunk]:
        """What is left of characters that never became complete."""
        return [
            Chunk("stdout", self._decoders["stdout"].decode(b"", final=True)),
            Chunk("stderr", self._decoders["stderr"].decode(b"", final=True)),
        ]

    def _text(self, stream: Stream, data: bytes) -> str:
        if stream in self._starts_inside:
            self._starts_inside.discard(stream)
            data = data[:3].lstrip(_CONTINUATION_BYTES) + data[3:]
        return self._decoders[stream].decode(data).replace("\x00", _REPLACEMENT)


def _merged(chunks: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """The chunks without empty ones, neighbours of the same stream joined."""
    runs: list[tuple[Stream, list[str]]] = []
    for chunk in chunks:
        if not chunk.text:
            continue
        if runs and runs[-1][0] == chunk.stream:
            runs[-1][1].append(chunk.text)
        else:
            runs.append((chunk.stream, [chunk.text]))
    return tuple(Chunk(stream, "".join(texts)) for stream, texts in runs)
