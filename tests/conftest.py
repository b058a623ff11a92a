"""The `--long` flag, without which tests marked `long` are skipped and say so; and how hypothesis makes examples."""

import pytest
from hypothesis import HealthCheck, settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the long forms, and generate other examples")


def pytest_configure(config: pytest.Config) -> None:
    # On a busy machine any example may take seconds, and making one up too. Each run has the same, but for long ones:
    # a new one that fails is found by whoever looks for it, not by whoever has changed something else.
    settings.register_profile(
        "ours",
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=not config.getoption("--long"),
    )
    settings.load_profile("ours")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long form: run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
