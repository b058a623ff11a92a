"""Machines and prices: every price has its date, and the user's own tables lie over ours."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from planner.errors import BadInputError, UnknownNameError
from planner.hardware import Price, Terms, default_catalogue, load_catalogue


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("p5", "p5.48xlarge"), ("P5.48xlarge", "p5.48xlarge"), ("h200", "p5en.48xlarge"), ("trn1", "trn1.32xlarge"),
     ("a100-40gb", "p4d.24xlarge"), ("inf2", "inf2.48xlarge"), ("trn3", "trn3-gen2.ultraserver"), ("cpu", "local-cpu")],
)  # fmt: skip
def test_an_instance_is_found_by_name_family_or_accelerator(asked: str, expected: str) -> None:
    assert default_catalogue().instance(asked).name == expected


def test_an_unknown_machine_is_answered_with_near_names() -> None:
    with pytest.raises(UnknownNameError, match=r"p5\.48xlarge"):
        default_catalogue().instance("p5.48xlrge")


def test_every_price_of_the_table_has_a_date_and_a_source() -> None:
    catalogue = default_catalogue()
    assert all(price.as_of.year >= 2025 and price.source for price in catalogue.prices.values())
    assert {name for name, _ in catalogue.prices} <= set(catalogue.instances)


def test_what_sources_disagree_on_has_no_price_but_a_reason() -> None:
    catalogue = default_catalogue()
    assert catalogue.price(catalogue.instance("trn2")) is None
    assert "conflict" in catalogue.why_no_price["trn2.48xlarge"]


@pytest.mark.parametrize("as_of", [None, "", "2026-11-09"])
def test_a_price_cannot_be_made_without_a_date(as_of: Any) -> None:
    with pytest.raises(BadInputError, match="as_of"):
        Price(55.04, as_of, Terms.ON_DEMAND, "us-east-1", "somewhere")


def test_an_old_price_is_shown_with_a_warning() -> None:
    price = Price(55.04, date(2026, 8, 1), Terms.ON_DEMAND, "us-east-1", "somewhere")
    assert not price.is_stale(date(2026, 10, 30))
    assert "91 days old: check it" in price.described(date(2026, 10, 31))


def test_the_users_file_lies_over_the_tables(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "accelerators: [{name: h100-80gb, memory_gib: 94}]\n"
        "instances: [{name: box, accelerator: h100-80gb, count: 4, intra_node_gbps: 300, inter_node_gbit_per_s: 100}]\n"
        "prices: [{instance: box, usd_per_hour: 9.5, as_of: 2026-11-01, terms: spot}]\n"
    )
    catalogue = load_catalogue(mine)
    box = catalogue.instance("box")
    assert box.accelerator.memory_bytes == 94 << 30
    assert catalogue.instance("p5").accelerator.memory_bytes == 94 << 30
    assert catalogue.instance("p5").accelerator.bf16_flops_per_s == 989e12
    price = catalogue.price(box, Terms.SPOT)
    assert price is not None
    assert (price.usd_per_hour, price.as_of) == (9.5, date(2026, 11, 1))


def test_a_csv_holds_prices(tmp_path: Path) -> None:
    mine = tmp_path / "prices.csv"
    mine.write_text("instance,usd_per_hour,as_of\ntrn2.48xlarge,40,2026-11-20\n")
    catalogue = load_catalogue(mine)
    price = catalogue.price(catalogue.instance("trn2"))
    assert price is not None
    assert price.usd_per_hour == 40.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prices: [{instance: p5.48xlarge, usd_per_hour: 50}]", "YYYY-MM-DD"),
        ("prices: [{instance: p5.48xlarge, usd_per_hour: -1, as_of: 2026-11-01}]", "positive"),
        ("prices: [{instance: nowhere, usd_per_hour: 1, as_of: 2026-11-01}]", "is no instance"),
        ("instances: [{name: box, accelerator: h900, count: 8}]", "h900"),
        ("instances: [{accelerator: a10g}]", "without name"),
        ("machines: []", "must hold lists"),
        ("prices: 3", "list of mappings"),
        ("a: [", "no YAML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    with pytest.raises(BadInputError, match=says):
        load_catalogue(mine)


def test_a_peak_that_is_not_known_is_not_made_up() -> None:
    with pytest.raises(BadInputError, match="no peak is known in fp8; known are bf16"):
        default_catalogue().instance("p4d").accelerator.peak_flops_per_s("fp8")
