"""Draws a few entities of a catalogue: each vendor's picture, and the name in some locales.

`python -m scripts.draw_catalogue OUT.png` names them in English; each `--font LOCALE=FILE` adds a locale, drawn with a
font that has its script. docs/images/catalogue.png was drawn with Noto Sans, Noto Sans JP and Noto Sans Devanagari.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from recipes.config import CatalogueDataConfig
from recipes.records import Entity, Records, open_records

SYMBOLS = "🦉🐊🌵🍓🥐🌋🪂🎸🔬🔑"
_COLUMNS = 5
_CARD_WIDTH_PX = 220
_PICTURE_PX = 88
_TEXT_PX = 17
_LINE_PX = 26
_MARGIN_PX = 14
_INK, _PAPER, _LINE = "#24292f", "#ffffff", "#d0d7de"

Fonts = Mapping[str, ImageFont.FreeTypeFont]


def draw_catalogue(records: Records, symbols: str, fonts: Fonts) -> Image.Image:
    """Return a sheet with one card for each of `symbols` that the catalogue has, named in the locales of `fonts`."""
    by_char = {entity.char.rstrip("\ufe0f"): entity for entity in records.entities}
    entities = [by_char[symbol] for symbol in symbols if symbol in by_char]
    rows = -(-len(entities) // _COLUMNS)
    width, height = _CARD_WIDTH_PX, 3 * _MARGIN_PX + _PICTURE_PX + len(fonts) * _LINE_PX
    sheet = Image.new("RGB", (_COLUMNS * width + 1, rows * height + 1), _PAPER)
    for number, entity in enumerate(entities):
        corner = (number % _COLUMNS * width, number // _COLUMNS * height)
        ImageDraw.Draw(sheet).rectangle([corner, (corner[0] + width, corner[1] + height)], outline=_LINE)
        _draw_pictures(sheet, corner, records, entity)
        _draw_names(sheet, corner, entity, fonts)
    return sheet


def _draw_pictures(sheet: Image.Image, corner: tuple[int, int], records: Records, entity: Entity) -> None:
    gap = (_CARD_WIDTH_PX - len(entity.rows) * _PICTURE_PX) // (len(entity.rows) + 1)
    for place, row in enumerate(entity.rows.values()):
        picture = Image.fromarray(records.images[row]).resize((_PICTURE_PX, _PICTURE_PX), Image.Resampling.LANCZOS)
        sheet.paste(picture, (corner[0] + gap + place * (_PICTURE_PX + gap), corner[1] + _MARGIN_PX))


def _draw_names(sheet: Image.Image, corner: tuple[int, int], entity: Entity, fonts: Fonts) -> None:
    draw = ImageDraw.Draw(sheet)
    middle = corner[0] + _CARD_WIDTH_PX // 2
    top = corner[1] + 2 * _MARGIN_PX + _PICTURE_PX + _LINE_PX // 2
    for line, (locale, font) in enumerate(fonts.items()):
        draw.text((middle, top + line * _LINE_PX), entity.names[locale], fill=_INK, font=font, anchor="mm")


def main(arguments: Sequence[str]) -> int:
    """Draw the sheet that the command line asks for, from the sample in the repository."""
    parser = argparse.ArgumentParser(prog="python -m scripts.draw_catalogue", description=__doc__)
    parser.add_argument("out", type=Path, help="picture to write; its ending says the format")
    parser.add_argument("--font", action="append", default=[], metavar="LOCALE=FILE", help="may be repeated")
    options = parser.parse_args(arguments)
    records = open_records(CatalogueDataConfig())
    files = dict(text.split("=", 1) for text in options.font)
    unknown = sorted(set(files) - set(records.locales))
    if unknown:
        parser.error(f"--font {unknown[0]}=...: the catalogue has no such locale; it has {', '.join(records.locales)}")
    english = ImageFont.load_default(_TEXT_PX)
    assert isinstance(english, ImageFont.FreeTypeFont)
    fonts = {"en": english} | {locale: ImageFont.truetype(file, _TEXT_PX) for locale, file in files.items()}
    draw_catalogue(records, SYMBOLS, fonts).quantize(128).save(options.out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
