"""The report's page: it holds all it shows, escapes what it is given, and tells figures from words."""

import re

from planner.report.page import Facts, Notes, Picture, Section, Table, page

SVG = '<svg viewBox="0 0 {width} 100"></svg>'


def test_a_page_asks_for_nothing_outside() -> None:
    blocks = (Picture(SVG.format(width=140), "a picture"), Notes(('mind "this"',)))
    section = Section("Fits & co.", "What <was> fitted.", blocks)
    text = page("Plan <x>", "lead", [section], "foot")
    assert not re.search(r"https?:|//[a-z]|<script|<link|@import|url\(", text)
    assert re.findall(r'src="([^"]{0,24})', text) == ["data:image/svg+xml;base6"]
    assert "Plan &lt;x&gt;" in text
    assert "What &lt;was&gt; fitted." in text
    assert "mind &quot;this&quot;" in text
    assert 'alt="a picture"' in text
    assert "prefers-color-scheme: dark" in text


def test_sections_are_linked() -> None:
    text = page("t", "", [Section("Approaches beside each other", "", ())], "")
    assert '<a href="#approaches-beside-each-other">' in text
    assert '<section id="approaches-beside-each-other">' in text


def test_figures_stand_to_the_right() -> None:
    rows = (("p5", "1,234", "-", "12 / 13"), ("trn1", "-5.6e+3", "7", "1"))
    text = Table(("name", "number", "sparse", "words"), rows, "caption").html()
    kinds = re.findall(r'<th scope="col"( class="figure")?>', text)
    assert [bool(kind) for kind in kinds] == [False, True, True, False]
    assert '<p class="caption">caption</p>' in text


def test_pictures_stand_side_by_side_and_wide_ones_alone() -> None:
    blocks = (Picture(SVG.format(width=140), "one"), Picture(SVG.format(width=300), "two"), Notes(("a",)))
    text = Section("t", "", blocks).html()
    assert text.count('<div class="pictures">') == 1
    assert re.findall(r"<figure[^>]*>", text) == ["<figure>", '<figure class="wide">']


def test_nothing_is_shown_where_there_is_nothing() -> None:
    assert Notes(()).html() == ""
    assert Facts((("name", "a <b>"),)).html() == "<dl><dt>name</dt><dd>a &lt;b&gt;</dd></dl>"
