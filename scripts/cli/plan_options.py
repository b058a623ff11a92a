"""Options that several `plan` commands share."""

from typing import Annotated

import typer

StudyOption = Annotated[str, typer.Option(metavar="NAME", help="whose runs and ledger: ~/.ostinato/plan/NAME")]
JsonOption = Annotated[bool, typer.Option("--json", help="the same as -o json")]
