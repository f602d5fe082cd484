"""Formulas as the lessons write them, in one line of Unicode, as MathML: what browsers typeset without any script.

    to_mathml("KL(q‖p) = -½ Σ_j (1 + log σ_j² - μ_j² - σ_j²)")

The notation: x_j and x_{t-1} are subscripts, e^(-a), x^{..} and x² superscripts; Σ_{..}, max_.. and min_.. carry below
them what follows _; f(x) without a space is a function of x; A/B is a fraction of one name, number, root, bracket or
function each; √(..) is a root; two and more spaces separate. All else stands as it is.
"""

import re
from html import escape

_LETTER = r"[^\W\d_⁰¹²³⁴-⁹₀-₉ⁿᵀᴷ½¼¾][\u0300-\u036f]*"
_TOKEN = re.compile(rf"""
    (?P<space>\s+) | (?P<number>\d+(?:,\d{{3}})*(?:\.\d+)?|[½¼¾]) | (?P<super>[⁰¹²³⁴-⁹⁻ᵀⁿᴷ]+) | (?P<below>[₀-₉]+)
  | (?P<script>[_^]) | (?P<open>[({{\[⌈⌊]) | (?P<close>[)}}\]⌉⌋]) | (?P<name>(?:{_LETTER})+['′″‴⁗]?) | (?P<operator>.)
""", re.VERBOSE)  # fmt: skip
_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵀⁿᴷ", "0123456789-TnK")
_BELOW = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_LARGE = {"Σ", "Π", "∫"}
_UNDER = _LARGE | {"max", "min", "argmax"}
_PAIRS = {"(": ")", "[": "]", "{": "}", "⌈": "⌉", "⌊": "⌋"}
_ATOMS = ("name", "number", "open")


def to_mathml(formula: str) -> str:
    """One line as a <math> element, with the line itself for those who hear it."""
    tokens = [(m.lastgroup or "", m.group()) for m in _TOKEN.finditer(formula.strip())]
    body = _row(_Tokens(tokens), "")
    return f'<math display="block" aria-label="{escape(formula.strip(), quote=True)}"><mrow>{body}</mrow></math>'


class _Tokens:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        self.at += 1
        return self.tokens[self.at - 1]


def _row(tokens: _Tokens, end: str) -> str:
    """Everything up to the closing bracket `end`, which is taken too."""
    parts: list[str] = []
    while tokens.peek()[0] != "end":
        if end and tokens.peek()[1] == end:
            tokens.take()
            return "".join(parts)
        kind, text = tokens.peek()
        if kind == "space":
            tokens.take()
            after, before = tokens.peek(), parts[-1] if parts else "<mo"
            words = before.startswith(("<mi mathvariant", "<munder")) or len(re.findall(_LETTER, after[1])) > 1
            if len(text) > 1 or (words and after[0] in _ATOMS and not before.startswith("<mo")):  # "log x" is two words
                parts.append(f'<mspace width="{"1.5em" if len(text) > 1 else "0.2em"}"/>')
            continue
        if text == "/" and parts and parts[-1].startswith(("<mi", "<mn", "<msu", "<mrow", "<msqrt")):
            tokens.take()
            below = _atom(tokens) if tokens.peek()[0] in _ATOMS or tokens.peek()[1] in ("√", "∂") else ""
            if below.startswith("<munder><mo"):  # a sum, and what is summed
                while tokens.peek()[0] == "space":
                    tokens.take()
                term = _atom(tokens) if tokens.peek()[0] in _ATOMS else ""
                below = f"<mrow>{below}{term}</mrow>"
            over = parts.pop()
            if below:
                parts.append(f"<mfrac>{_bare(over)}{_bare(below)}</mfrac>")
            else:
                parts += [over, "<mo>/</mo>"]
            continue
        parts.append(_atom(tokens))
    return "".join(parts)


def _atom(tokens: _Tokens) -> str:
    """A name, number, bracket, root or operator with what hangs on it."""
    kind, text = tokens.take()
    if kind == "open":
        inner = _row(tokens, _PAIRS[text])
        grows = "" if any(f"<m{high}" in inner for high in ("frac", "under", "over")) else ' stretchy="false"'
        base = f'<mrow class="b"><mo{grows}>{escape(text)}</mo>{inner}<mo{grows}>{_PAIRS[text]}</mo></mrow>'
    elif text == "∂":
        return f'<mrow class="f"><mi>∂</mi>{_atom(tokens)}</mrow>'
    elif text == "√":
        base = f"<msqrt>{_bare(_atom(tokens))}</msqrt>"
    elif kind == "number":
        base = f"<mn>{text}</mn>"
    elif kind == "name" and text not in _LARGE:
        plain = text.rstrip("'′″‴⁗")
        primes = text[len(plain):].replace("'", "′")
        letters = len(re.findall(_LETTER, plain))
        base = f"<mi>{escape(plain)}</mi>" if letters == 1 else f'<mi mathvariant="normal">{escape(plain)}</mi>'
        base = f"<msup>{base}<mo>{primes}</mo></msup>" if primes else base
    elif kind in ("super", "below"):
        base = f"<mn>{text.translate(_SUPER).translate(_BELOW)}</mn>"
    else:
        large = ' largeop="true"' if text in _LARGE else ""
        base = f"<mo{large}>{escape(text)}</mo>"
    element = _scripts(base, text, tokens)
    if kind == "name" and text not in _UNDER and tokens.peek()[1] in ("(", "["):
        return f'<mrow class="f">{element}{_atom(tokens)}</mrow>'
    return element


def _scripts(base: str, text: str, tokens: _Tokens) -> str:
    below = above = ""
    while True:
        kind, mark = tokens.peek()
        if kind == "super" and not above:
            above = f"<mrow>{_plain(tokens.take()[1].translate(_SUPER))}</mrow>"
        elif kind == "below" and not below:
            below = f"<mn>{tokens.take()[1].translate(_BELOW)}</mn>"
        elif kind == "script" and tokens.peek(1)[0] in _ATOMS and not (above if mark == "^" else below):
            tokens.take()
            opened = tokens.peek()[1] if tokens.peek()[0] == "open" else ""
            if opened:
                tokens.take()
                inner = f"<mrow>{_row(tokens, _PAIRS[opened])}</mrow>"
            else:
                name = tokens.take()[1]
                inner = f"<mn>{name}</mn>" if name[0].isdigit() else f"<mi>{escape(name)}</mi>"
            above, below = (inner, below) if mark == "^" else (above, inner)
        else:
            break
    if text in _UNDER and (below or above):
        return (f"<munderover>{base}{below}{above}</munderover>" if below and above
                else f"<munder>{base}{below}</munder>" if below else f"<mover>{base}{above}</mover>")
    if below and above:
        return f"<msubsup>{base}{below}{above}</msubsup>"
    return f"<msub>{base}{below}</msub>" if below else f"<msup>{base}{above}</msup>" if above else base


def _plain(text: str) -> str:
    return "".join(f"<mn>{c}</mn>" if c.isdigit() else f"<mo>{c}</mo>" if c == "-" else f"<mi>{c}</mi>" for c in text)


def _bare(element: str) -> str:
    """A bracket without its signs: above and below a fraction bar, and under a root, it needs none."""
    inside = re.fullmatch(r'<mrow class="b"><mo[^>]*>\(</mo>(.*)<mo[^>]*>\)</mo></mrow>', element, re.DOTALL)
    return f"<mrow>{inside.group(1)}</mrow>" if inside else element
