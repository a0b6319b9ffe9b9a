"""The line in which uploads wait for their answer: first come, first served, one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LONGEST = 20  # uploads that wait; they are kept on disk


class LineFull(Exception):
    """So many wait that another would wait for very long."""


class Line:
    """Of one event loop. Whoever waits is known by a ticket of their own choice."""

    def __init__(self) -> None:
        self._places: list[tuple[str, object]] = []  # two may have chosen one ticket
        self._turn = asyncio.Lock()  # wakes the one that has waited longest

    @asynccontextmanager
    async def turn(self, ticket: str) -> AsyncIterator[None]:
        """Waits for the turn, which lasts as long as the block. Whoever is cancelled has left the line.

        Raises:
            LineFull: at once.
        """
        if len(self._places) > LONGEST:  # one is at its turn
            raise LineFull
        place = (ticket, object())
        self._places.append(place)
        try:
            async with self._turn:
                yield
        finally:
            self._places.remove(place)

    def before(self, ticket: str) -> int | None:
        """How many come first, 0 for the one at its turn; None for who is not in the line."""
        tickets = [ticket for ticket, _ in self._places]
        return tickets.index(ticket) if ticket in tickets else None
