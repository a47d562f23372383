"""What a user can cause: one clear line and exit code 2. Anything else is a bug and keeps its traceback."""

import difflib
import signal
from collections.abc import Iterable

OUT_OF_TIME = 128 + signal.SIGUSR1
"""Exit code of work that ended early because its time was nearly up; under Slurm it is queued again."""


class UserError(ValueError):
    """Says in one line what is wrong, where (file, line, key), and what would be right.

    A ValueError, so that pydantic adds the key when one is raised inside a validator.
    """


class Failed(Exception):
    """Somebody's code raised, as a plugin of the user's: its traceback was shown there, and what did not hang on it is done.

    One line and exit code 1.
    """


class Stopped(Exception):
    """Work that ended early because it was asked to (a signal); what was done is kept and the same command goes on from there."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unknown(noun: str, given: str, known: Iterable[str]) -> UserError:
    """`No dataset named 'creek'. Did you mean 'creak'? Known: creak, ecqa, ...`"""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UserError(f"No {noun} named '{given}'.{hint} Known: {', '.join(names) or 'none'}.")
