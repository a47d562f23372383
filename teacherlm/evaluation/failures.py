"""One task that fails does not take the others with it: what went wrong is said at once, and the exit code says it at the end."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from teacherlm.errors import Failed, Stopped, UserError
from teacherlm.log import say


@dataclass
class Failures:
    """What could not be measured, one line each."""

    mistakes: list[str] = field(default_factory=list)
    """What the user can mend."""
    bugs: list[str] = field(default_factory=list)
    """What somebody's code raised; the traceback was shown."""

    @contextmanager
    def noted(self, what: str, culprit: str = "its code") -> Iterator[None]:
        """What fails inside is said and noted, and work goes on behind it. `what`: such as `task 'creak'`; `culprit`: who raised."""
        try:
            yield
        except Stopped:
            raise
        except UserError as error:
            self._note(self.mistakes, str(error) if what in str(error) else f"{what}: {error}")
        except (Exception, SystemExit) as error:  # a plugin that ends the program has failed like one that raises
            for line in "".join(traceback.format_exception(error)).rstrip().split("\n"):
                say(line)
            self._note(self.bugs, f"{what}: {culprit} raised {_named(error)}")

    def _note(self, lines: list[str], line: str) -> None:
        say(f"failed: {line}")
        lines.append(line)

    def end(self, what_is_kept: str) -> None:
        """Raises: Failed (exit code 1) after a bug, else UserError (2) after a mistake; nothing where all went well."""
        lines = [*self.bugs, *self.mistakes]
        if not lines:
            return
        first = lines[0] if len(lines) == 1 else f"{len(lines)} failed, the first: {lines[0]}"
        message = f"{first} ({what_is_kept})"
        raise Failed(message) if self.bugs else UserError(message)


def _named(error: BaseException) -> str:
    """`KeyError: 'label'`, in one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
