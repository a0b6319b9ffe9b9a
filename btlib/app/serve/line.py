"""The queue of uploads: first come, first served, one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_WAITING = 20  # uploads, which are kept on disk


class LineFull(Exception):
    """Too many uploads are waiting."""


class Line:
    """A queue for one event loop. Each client chooses the ticket that identifies it."""

    def __init__(self) -> None:
        self._places: list[tuple[str, object]] = []  # tickets may not be unique
        self._turn = asyncio.Lock()  # first in, first out

    @asynccontextmanager
    async def turn(self, ticket: str) -> AsyncIterator[None]:
        """Waits for its turn, which lasts as long as the block. Cancelling it leaves the queue.

        Raises:
            LineFull: immediately, if the queue is full.
        """
        if len(self._places) > MAX_WAITING:  # including the one being answered
            raise LineFull
        place = (ticket, object())
        self._places.append(place)
        try:
            async with self._turn:
                yield
        finally:
            self._places.remove(place)

    def before(self, ticket: str) -> int | None:
        """Number of uploads ahead, 0 for the one being answered; None if the ticket is not in the queue."""
        tickets = [ticket for ticket, _ in self._places]
        return tickets.index(ticket) if ticket in tickets else None
