"""Which study `plan sweep`, `plan ingest` and `plan next` are about."""

from typing import Annotated

import typer

StudyOption = Annotated[str, typer.Option(metavar="NAME", help="whose runs and ledger: ~/.ostinato/plan/NAME")]
