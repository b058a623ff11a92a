"""Reading log files that grow, line by line, several at once."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of one log: the log's name without its ending (`rank-0`), and the text without its newline."""

    log: str
    text: str


@dataclass(slots=True)
class LogReader:
    """Remembers how far each file has been read. A last line without newline waits until it is complete."""

    _offsets: dict[Path, int] = field(default_factory=dict)

    def read(self, paths: list[Path], *, whole: bool = False) -> list[LogLine]:
        """Return the lines that were added since the last call; with `whole`, unfinished last lines too."""
        return [line for path in paths for line in self._read_one(path, whole=whole)]

    def _read_one(self, path: Path, *, whole: bool) -> list[LogLine]:
        try:
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                data = file.read()
        except FileNotFoundError:
            return []
        if not whole:
            data = data[: data.rfind(b"\n") + 1]
        self._offsets[path] = self._offsets.get(path, 0) + len(data)
        return [LogLine(path.stem, line) for line in data.decode(errors="replace").splitlines()]
