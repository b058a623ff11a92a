"""The command line `ostinato`, one small file per group of commands. See docs/cli.md."""

import gc
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `ostinato`; the entry point. Return the exit code (see exit_codes)."""
    # Nothing that imports make is garbage; collecting it would take a tenth of a short command's time.
    gc.disable()
    from scripts.origin import ForeignPackageError, check_origin

    try:
        check_origin()
    except ForeignPackageError as error:
        sys.stderr.write(f"ostinato: {error}\n")
        return 4  # ExitCode.ENVIRONMENT, which cannot be imported safely now
    from scripts.cli.app import run

    return run(sys.argv[1:] if arguments is None else arguments)
