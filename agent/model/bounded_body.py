"""The body of an HTTP answer, unpacked here so that it can't grow beyond a limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

import httpx2

_PIECE = 65_536


class BoundedBody(httpx2.SyncByteStream):
    """Yields the decoded bytes of a body.

    The HTTP library unpacks each piece as a whole: a kilobyte may become a megabyte in memory.

    Args:
        source: the bytes as they come over the connection.
        encodings: the header Content-Encoding.
        limit: decoded bytes in all; beyond them reading fails.
    """

    def __init__(self, source: httpx2.SyncByteStream, encodings: str, limit: int) -> None:
        self._source, self._limit = source, limit
        self._encodings = [e for e in map(str.strip, encodings.lower().split(",")) if e]

    def __iter__(self) -> Iterator[bytes]:
        left = self._limit
        for piece in self._decoded():
            left -= len(piece)
            if left < 0:
                raise httpx2.ReadError(f"the answer is longer than {self._limit >> 20} MB")
            yield piece

    def close(self) -> None:
        """Close the connection's stream."""
        self._source.close()

    def _decoded(self) -> Iterable[bytes]:
        encodings = [each for each in self._encodings if each != "identity"]
        if not encodings:
            return self._source
        if encodings in (["gzip"], ["x-gzip"], ["deflate"]):
            return _inflated(self._source)
        raise httpx2.DecodingError(
            f"the answer is encoded as {', '.join(encodings)}: not asked for"
        )


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    try:
        for piece in pieces:
            while piece:
                yield decoder.decompress(piece, _PIECE)
                piece = decoder.unconsumed_tail  # noqa: PLW2901 - what did not fit into the last
        yield decoder.flush()
    except zlib.error as error:
        raise httpx2.DecodingError(f"the answer can't be unpacked: {error}") from None


def bound(limit: int) -> Callable[[httpx2.Response], None]:
    """Return a response hook for an HTTP client that bounds every body it reads."""

    def hook(response: httpx2.Response) -> None:
        source = response.stream
        if isinstance(source, httpx2.SyncByteStream):
            encodings = response.headers.pop("Content-Encoding", "")
            response.stream = BoundedBody(source, encodings, limit)

    return hook
