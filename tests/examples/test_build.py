"""The site: formulas, prose and code as HTML, and pages that refer to what is there."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from examples.build import STYLE, code, inline, main, prose
from examples.equations import EQUATIONS
from examples.mathml import to_mathml
from tinyart.lesson import FOLDER, lessons, slips


def short(formula: str) -> str:
    """The MathML without its frame and its labels."""
    text = re.sub(r"<math [^>]*><mrow>|</mrow></math>", "", to_mathml(formula))
    return re.sub(r' (?:class|mathvariant|largeop|stretchy)="\w+"|<mspace width="0.2em"/>', "", text)


@pytest.mark.parametrize(("formula", "expected"), [
    ("x_j", "<msub><mi>x</mi><mi>j</mi></msub>"),
    ("x²", "<msup><mi>x</mi><mrow><mn>2</mn></mrow></msup>"),
    ("σ_j²", "<msubsup><mi>σ</mi><mi>j</mi><mrow><mn>2</mn></mrow></msubsup>"),
    ("h_{t-1}", "<msub><mi>h</mi><mrow><mi>t</mi><mo>-</mo><mn>1</mn></mrow></msub>"),
    ("W₂", "<msub><mi>W</mi><mn>2</mn></msub>"),
    ("e^(-a)", "<msup><mi>e</mi><mrow><mo>-</mo><mi>a</mi></mrow></msup>"),
    ("1/(1 + x)", "<mfrac><mn>1</mn><mrow><mn>1</mn><mo>+</mo><mi>x</mi></mrow></mfrac>"),
    ("p(x)/q", "<mfrac><mrow><mi>p</mi><mrow><mo>(</mo><mi>x</mi><mo>)</mo></mrow></mrow><mi>q</mi></mfrac>"),
    ("√(v + ε)", "<msqrt><mrow><mi>v</mi><mo>+</mo><mi>ε</mi></mrow></msqrt>"),
    ("Σ_{a,b} x", "<munder><mo>Σ</mo><mrow><mi>a</mi><mo>,</mo><mi>b</mi></mrow></munder><mi>x</mi>"),
    ("a/Σ_j b_j", "<mfrac><mi>a</mi><mrow><munder><mo>Σ</mo><mi>j</mi></munder><msub><mi>b</mi><mi>j</mi></msub></mrow>"
     "</mfrac>"),
    ("max_b Q'", "<munder><mi>max</mi><mi>b</mi></munder><msup><mi>Q</mi><mo>′</mo></msup>"),
    ("∂L/∂w", "<mfrac><mrow><mi>∂</mi><mi>L</mi></mrow><mrow><mi>∂</mi><mi>w</mi></mrow></mfrac>"),
    ("x̂ < 2,304", "<mi>x̂</mi><mo>&lt;</mo><mn>2,304</mn>"),
    ("Wᵀ x", "<msup><mi>W</mi><mrow><mi>T</mi></mrow></msup><mi>x</mi>"),
])  # fmt: skip
def test_formula(formula: str, expected: str) -> None:
    assert short(formula) == expected


def formulas() -> list[str]:
    texts = [cell.text for item in [*lessons(), *slips()] for cell in item.cells if not cell.code]
    return [line for text in texts for line in text.splitlines() if line.startswith("    ") and line.strip()]


def test_every_formula_of_the_course_is_well_formed() -> None:
    found = [*formulas(), *(e.formula for e in EQUATIONS)]
    assert len(found) > 150
    for formula in found:
        math = ElementTree.fromstring(to_mathml(formula))
        assert math.get("aria-label") == formula.strip()
        shown, said = ("".join(text.split()) for text in ("".join(math.itertext()), formula))
        lost = set(said) - set(shown) - set("_^(){}/√'⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵀⁿᴷ₀₁₂₃₄₅₆₇₈₉")
        assert not lost, (formula, lost)


def test_prose() -> None:
    text = ("# A < B\n\nSome *stress* and `a < b`,\nand more.\n\n    x = 1\n    y = 2\n\n1. one\n   more\n2. two\n\n"
            "| a | b |\n| --- | --- |\n| `c` | 2 |")
    html = prose(text)
    assert "<h1>A &lt; B</h1>" in html
    assert "<p>Some <em>stress</em> and <code>a &lt; b</code>,\nand more.</p>" in html
    assert html.count("<math ") == 2
    assert "<ol><li>one more</li><li>two</li></ol>" in html
    assert "<tr><th>a</th><th>b</th></tr><tr><td><code>c</code></td><td>2</td></tr>" in html
    assert inline("2 * 3 * 4") == "2 * 3 * 4"


@pytest.mark.parametrize("item", [*lessons(), *slips()], ids=lambda item: item.path.stem)
def test_code_keeps_every_character(item: object) -> None:
    for cell in item.cells:  # type: ignore[attr-defined]
        if cell.code:
            text = []
            parser = HTMLParser()
            parser.handle_data = text.append  # type: ignore[method-assign]
            parser.feed(code(cell.text))
            parser.close()
            assert "".join(text).rstrip() == cell.text.rstrip()


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def test_a_site_refers_to_nothing_outside_and_to_nothing_that_is_missing(tmp_path: Path) -> None:
    out = tmp_path / "site"
    main(out, True, ["03", "04", "doc3_unbalanced_bracket"])
    pages = {path.name: path.read_text() for path in out.glob("*.html")}
    assert set(pages) == {"index.html", "slips.html", "equations.html", "03_backpropagation.html",
                          "04_convolution.html", "doc3_unbalanced_bracket.html"}
    for name, text in pages.items():
        links = Links()
        links.feed(text)
        for link in links.found:
            assert link == "data:," or (out / link).is_file(), (name, link)
        assert "http" not in text.replace("http-equiv", "")
        assert '<meta name="viewport"' in text
    assert "url(" not in STYLE
    assert pages["04_convolution.html"].count("<img ") == 3
    assert "W x minus conv2d: " in pages["04_convolution.html"]
    assert pages["equations.html"].count("<math ") == len(EQUATIONS)
    assert "def best_discriminator" in pages["equations.html"]
    main(out, True, ["03"])  # again: what was there is gone
    assert not (out / "04_convolution.html").exists()


def test_nothing_is_deleted_that_is_no_site(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    main(tmp_path, True, ["doc3_unbalanced_bracket"])
    assert (tmp_path / "mine.txt").read_text() == "kept"
    assert FOLDER.is_dir()
