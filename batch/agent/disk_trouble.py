"""What the agent's file system refuses: in words, and for as long as it does."""

import contextlib
import errno
import os
from pathlib import Path

_PROBE_BYTES = 4096


class DiskTrouble:
    """Remembers the last error of writing below `folder` until a small write succeeds there again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.text = ""
        """What is wrong; empty while nothing is."""

    def note(self, error: OSError) -> str:
        """Remember the error, and return it in words: what, where, and what to do."""
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        what = f"the agent's folder {self._folder}: {error.strerror or error} ({name})"
        self.text = f"{what}: make room there" if error.errno in {errno.ENOSPC, errno.EDQUOT} else what
        return self.text

    def probe(self) -> None:
        """Look whether it is over. Does nothing while nothing is wrong."""
        if not self.text:
            return
        path = self._folder / ".probe"
        try:
            with path.open("wb") as file:
                file.write(b"x" * _PROBE_BYTES)
                file.flush()
                os.fsync(file.fileno())
            self.text = ""
        except OSError as error:
            self.note(error)
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
