"""A page as values, and the HTML of it: sections of facts, tables, notes and pictures."""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_FIGURE = re.compile(r"[-+$]?\d[\d.,:e+%-]*( ?[kMGTBhds%]| GiB| MiB)?$")

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
.lead, figcaption, caption, footer { color: var(--dim); }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1.2rem 0; padding-bottom: .9rem;
  border-bottom: 1px solid var(--line); }
nav a { color: var(--mark); text-decoration: none; }
nav a:hover, nav a:focus-visible { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.3rem 1.4rem;
  margin: 0 0 1.3rem; scroll-margin-top: 1rem; }
.lead { margin: 0 0 1rem; max-width: 48rem; }
.scroll { overflow-x: auto; margin: 0 0 1.1rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 .35rem; font-size: .9rem; }
th, td { text-align: left; padding: .32rem .75rem .32rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--dim); font-weight: 600; border-bottom-width: 2px; white-space: nowrap; }
td.figure, th.figure { text-align: right; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0 0 1.1rem; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 0 0 1.2rem; } figcaption { font-size: .9rem; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .4rem; }
ul.notes { margin: 0 0 .6rem; padding: .6rem .9rem .6rem 1.9rem; border-left: 3px solid var(--warm);
  background: color-mix(in srgb, var(--warm) 8%, transparent); border-radius: .3rem; font-size: .93rem; }
footer { padding-bottom: 2.5rem; font-size: .87rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
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
        cells = ["".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in row) for row in rows]
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'

    def _is_figures(self, at: int) -> bool:
        cells = [row[at] for row in self.rows if row[at] != "-"]
        return bool(cells) and all(_FIGURE.match(cell) for cell in cells)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, which the page will hold."""

    png: bytes
    words: str
    """What it shows, for those who see it and those who do not."""

    @staticmethod
    def of(path: Path, words: str) -> "Picture":
        """Return the picture in a file. Raises OSError."""
        return Picture(path.read_bytes(), words)

    def html(self) -> str:
        """Return the HTML."""
        source = "data:image/png;base64," + b64encode(self.png).decode("ascii")
        words = escape(self.words)
        return f'<figure><img src="{source}" alt="{words}"><figcaption>{words}</figcaption></figure>'


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
        inner = "".join(block.html() for block in self.blocks)
        lead = f'<p class="lead">{escape(self.lead)}</p>' if self.lead else ""
        return f'<section id="{self.anchor}"><h2>{escape(self.title)}</h2>{lead}{inner}</section>'


def page(title: str, lead: str, sections: Sequence[Section], foot: str) -> str:
    """Return a whole page that asks for nothing outside itself."""
    links = "".join(f'<a href="#{section.anchor}">{escape(section.title)}</a>' for section in sections)
    body = "\n".join(section.html() for section in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f'<body><header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p><nav>{links}</nav></header>\n'
        f"<main>{body}</main>\n<footer><p>{escape(foot)}</p></footer></body></html>\n"
    )
