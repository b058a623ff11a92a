"""Finding a run by its name, the beginning of its name, or the path of its folder."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from scripts.cli.cli_errors import CommandError, NotFoundError
from scripts.cli.completion import complete_runs
from trainer.run_folder import RunFolder, list_runs

FolderOption = Annotated[
    Path, typer.Option("--folder", envvar="OSTINATO_RUNS", help="folder that holds the run folders")
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="name, beginning of a name, or path of a run folder", autocompletion=complete_runs
    ),
]


def find_run(name: str, root: Path) -> RunFolder:
    """Return the run. Raises NotFoundError with the nearest names, CommandError when a beginning fits several."""
    for path in (root / name, Path(name)):
        if name and RunFolder(path).exists():
            return RunFolder(path.resolve())
    names = [folder.name for folder in list_runs(root)]
    fitting = [known for known in names if known.startswith(name)]
    if len(fitting) == 1:
        return RunFolder((root / fitting[0]).resolve())
    if fitting:
        raise CommandError(f"{name!r} begins the names of several runs: {', '.join(sorted(fitting))}")
    near = get_close_matches(name, names, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else "`ostinato runs` lists them"
    raise NotFoundError(f"there is no run {name!r} in {root}; {advice}")
