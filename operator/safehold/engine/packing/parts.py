"""Parts of packs: the memory that a pack is written into, which the next pack uses again."""


class Part:
    """A part while it fills. Its memory stays where it is: growing bytes would be moved, and cost fresh pages."""

    def __init__(self, size_bytes: int) -> None:
        self._body = bytearray(size_bytes)
        self._end = 0

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return len(self._body) - self._end

    def claim(self, size_bytes: int) -> memoryview:
        """The next bytes, for the caller to fill."""
        view = memoryview(self._body)[self._end : self._end + size_bytes]
        self._end += size_bytes
        return view

    def take(self, content: memoryview) -> memoryview:
        """Copy what fits; returns the rest."""
        taken = min(len(content), self.room)
        self.claim(taken)[:] = content[:taken]
        return content[taken:]

    def body(self) -> bytearray:
        """What is in it, to be sent. A part that is not full is cut off, and never filled again."""
        del self._body[self._end :]
        return self._body

    def clear(self) -> None:
        """Fill it from the beginning: what was in it is sent."""
        self._end = 0


class PartSupply:
    """Parts of one size, those first that were sent. Given back by other threads than it is asked by."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._sent: list[Part] = []

    def fresh(self) -> Part:
        """A part with nothing in it."""
        try:
            part = self._sent.pop()
        except IndexError:
            return Part(self._size_bytes)
        part.clear()
        return part

    def give_back(self, part: Part) -> None:
        """A part that was full, and that nobody reads any more."""
        self._sent.append(part)
