"""How fast a server may be asked: a rate per minute kept by even spacing, and how long it said to wait."""

import random
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from teacherlm.engines.bodies.crew import pause

BACK_OFF = 0.5
LONGEST_BACK_OFF = 60.0


class Pace:
    """Each taker gets its moment: the one before it plus what that one cost. No window of a minute holds more than the rate and one."""

    def __init__(self, per_minute: int | None) -> None:
        self._seconds = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def take(self, cost: float = 1.0) -> None:
        """Waits for the moment. Raises: Left."""
        if self._seconds:
            at = max(time.monotonic(), self._next)
            self._next = at + cost * self._seconds
            await pause(at - time.monotonic())

    def correct(self, by: float) -> None:
        """It did cost that much more (or less) than was taken."""
        self._next += by * self._seconds


def back_off(failures: int) -> float:
    """Seconds before the next try after so many failures: full jitter, so that rows that failed together do not come back together."""
    return random.uniform(0, min(LONGEST_BACK_OFF, BACK_OFF * 2.0**failures))


def find_retry_after(value: str | None) -> float:
    """Seconds that a Retry-After header asks for, given in seconds or as an HTTP date; 0 where there is none that can be read."""
    if not value:
        return 0.0
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
