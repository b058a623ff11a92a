"""`--storage-option KEY=VALUE`: what a store's client needs that its URL does not say."""

from typing import Annotated

import typer

from scripts.cli.cli_errors import CommandError

StorageOptions = Annotated[
    list[str] | None, typer.Option("--storage-option", metavar="KEY=VALUE", help="passed to the store's client")
]


def parse_options(options: list[str] | None) -> dict[str, str]:
    """Return the pairs as a mapping. Raises CommandError."""
    parsed = {}
    for option in options or []:
        key, equals, value = option.partition("=")
        if not key or not equals:
            raise CommandError(f"--storage-option {option}: write KEY=VALUE")
        parsed[key] = value
    return parsed
