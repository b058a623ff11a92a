"""The sheet of entities for the documents."""

from pathlib import Path

from PIL import Image, ImageFont

from recipes.config import CatalogueDataConfig
from recipes.records import open_records
from scripts.draw_catalogue import SYMBOLS, draw_catalogue, main


def test_every_symbol_is_in_the_sample_and_gets_a_card(tmp_path: Path) -> None:
    records = open_records(CatalogueDataConfig(cache_folder=str(tmp_path)))
    font = ImageFont.load_default(17)
    one, all_of_them = (draw_catalogue(records, symbols, {"en": font}) for symbols in (SYMBOLS[0], SYMBOLS))
    assert set(SYMBOLS) <= {entity.char for entity in records.entities}
    assert all_of_them.height - 1 == len(SYMBOLS) // 5 * (one.height - 1)


def test_the_ending_says_the_format(tmp_path: Path) -> None:
    assert main([str(tmp_path / "sheet.png")]) == 0
    assert Image.open(tmp_path / "sheet.png").format == "PNG"
