"""A page as values, and the HTML of it: sections of facts, tables, notes and pictures."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

_FIGURE = re.compile(r"[-+$]?\d[\d.,:e+%-]*( ?[kMGTBhds%]| GiB| MiB)?$")
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_WIDE = 2.0
_NOTHING_OUTSIDE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The browser sees to it that the page runs nothing and asks for nothing."""
_LONG, _WORDS = 24, ' class="words"'

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5c6878; --paper: #fbfbf9; --card: #fff; --line: #e3e5e8;
  --mark: #0b6e6e; --warm: #b3541e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --dim: #97a3b4; --paper: #14181e; --card: #1c222a;
  --line: #303a46; --mark: #5cc8c0; --warm: #f0a070; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 0 0 .2rem; }
.lead, .caption, figcaption, footer { color: var(--dim); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1.2rem 0; padding-bottom: .9rem;
  border-bottom: 1px solid var(--line); }
nav a { color: var(--mark); text-decoration: none; }
nav a:hover, nav a:focus-visible { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.3rem 1.4rem;
  margin: 0 0 1.3rem; scroll-margin-top: 1rem; }
.lead { margin: 0 0 1rem; max-width: 48rem; }
.scroll { overflow-x: auto; margin: 0 0 1.1rem; }
table { border-collapse: collapse; min-width: min(100%, 34rem); font-size: .9rem; font-variant-numeric: tabular-nums; }
.caption { margin: 0 0 .35rem; max-width: 48rem; font-size: .9rem; }
th, td { text-align: left; padding: .32rem 1.2rem .32rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--dim); font-weight: 600; border-bottom-width: 2px; vertical-align: bottom; line-height: 1.3; }
th:last-child, td:last-child { padding-right: 0; }
td { white-space: nowrap; } td.words { white-space: normal; min-width: 13rem; }
td.figure, th.figure { text-align: right; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0 0 1.1rem; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.4rem 1.6rem; margin: 0 0 1.3rem; }
figure { margin: 0; min-width: 0; flex: 1 1 26rem; max-width: 42rem; }
figure.wide { flex-basis: 100%; max-width: none; } figcaption { font-size: .9rem; }
figure .scroll { margin: 0 0 .3rem; } img { display: block; width: 100%; height: auto; } .wide img { min-width: 44rem; }
ul.notes { margin: 0 0 .6rem; padding: .6rem .9rem .6rem 1.9rem; border-left: 3px solid var(--warm);
  background: color-mix(in srgb, var(--warm) 8%, transparent); border-radius: .3rem; font-size: .93rem; }
footer { padding-bottom: 2.5rem; font-size: .87rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
  header, main, footer { padding-left: .7rem; padding-right: .7rem; } section { padding: 1rem .9rem; } }
@media print { section { break-inside: avoid; border: 0; padding: 0; } nav { display: none; } }
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are."""

    rows: tuple[tuple[str, str], ...]

    def html(self) -> str:
        """Return the HTML."""
        cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in self.rows)
        return f"<dl>{cells}</dl>"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; columns of figures stand to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def html(self) -> str:
        """Return the HTML."""
        kinds = [' class="figure"' if self._is_figures(at) else "" for at in range(len(self.columns))]
        columns = zip(kinds, self.columns, strict=True)
        head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in columns)
        rows = [zip(kinds, row, strict=True) for row in self.rows]
        cells = ["".join(_cell(kind, text) for kind, text in row) for row in rows]
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        caption = f'<p class="caption">{escape(self.caption)}</p>' if self.caption else ""
        label = escape(self.caption or ", ".join(self.columns))
        table = f'<table aria-label="{label}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        return f'{caption}<div class="scroll" tabindex="0">{table}</div>'

    def _is_figures(self, at: int) -> bool:
        cells = [row[at] for row in self.rows if row[at] != "-"]
        return bool(cells) and all(_FIGURE.match(cell) for cell in cells)


def _cell(kind: str, text: str) -> str:
    return f"<td{kind or _WORDS * (len(text) > _LONG)}>{escape(text)}</td>"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as SVG, which the page will hold: as an image, so that it can neither run nor ask for anything."""

    svg: str
    words: str
    """What it shows, for those who see it and those who do not."""

    @staticmethod
    def of(path: Path, words: str) -> "Picture":
        """Return the picture in a file. Raises OSError."""
        return Picture(path.read_text(encoding="utf-8"), words)

    def html(self) -> str:
        """Return the HTML."""
        source = "data:image/svg+xml;base64," + b64encode(self.svg.encode()).decode("ascii")
        words = escape(self.words)
        image = f'<div class="scroll"><img src="{source}" alt="{words}"></div>'
        return f"<figure{self._kind()}>{image}<figcaption>{words}</figcaption></figure>"

    def _kind(self) -> str:
        size = _SIZE.search(self.svg)
        return ' class="wide"' if size and float(size[1]) > _WIDE * float(size[2]) else ""


@dataclass(frozen=True, slots=True)
class Notes:
    """What must be known beside the figures. Without any, nothing is shown."""

    texts: tuple[str, ...]

    def html(self) -> str:
        """Return the HTML."""
        items = "".join(f"<li>{escape(text)}</li>" for text in self.texts)
        return f'<ul class="notes">{items}</ul>' if self.texts else ""


Block = Facts | Table | Picture | Notes


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page."""

    title: str
    lead: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """Its place, for links within the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def html(self) -> str:
        """Return the HTML."""
        inner = "".join(map(_side_by_side, groupby(self.blocks, lambda block: isinstance(block, Picture))))
        lead = f'<p class="lead">{escape(self.lead)}</p>' if self.lead else ""
        return f'<section id="{self.anchor}"><h2>{escape(self.title)}</h2>{lead}{inner}</section>'


def _side_by_side(blocks: tuple[bool, Iterable[Block]]) -> str:
    are_pictures, each = blocks
    inner = "".join(block.html() for block in each)
    return f'<div class="pictures">{inner}</div>' if are_pictures else inner


def page(title: str, lead: str, sections: Sequence[Section], foot: str) -> str:
    """Return a whole page that asks for nothing outside itself."""
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    body = "\n".join(section.html() for section in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_OUTSIDE}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f'<body><header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p><nav>{links}</nav></header>\n'
        f"<main>{body}</main>\n<footer><p>{escape(foot)}</p></footer></body></html>\n"
    )
