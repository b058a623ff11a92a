"""The `--long` flag: without it, tests marked `long` are skipped and say so."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the long forms")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long form: run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
