"""The course as a static site: python -m examples.build [--out site] [--toy] [NUMBERS AND NAMES]

Runs the lessons and slips and writes a page for each, with text, typeset formulas, code, what it printed and its
pictures; a page of all slips; and the index of equations, each with the code that it is. No page loads anything from
elsewhere. Without --toy this takes as long as `python -m examples.run_all`; `python -m examples.check_site` looks at
the result.
"""

import argparse
import contextlib
import inspect
import io
import keyword
import re
import shutil
import tokenize
from collections.abc import Iterator
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from examples.equations import EQUATIONS, Equation
from examples.mathml import to_mathml
from tinyart.lesson import FOLDER, Cell, Lesson, Session, lesson, lessons, run, slips

STYLE = """
:root { color-scheme: light; --ink: #22222a; --grey: #6d6d78; --line: #dcdce4; --paper: #fdfdfb; --code: #f4f4ef; }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 50rem; background: var(--paper); color: var(--ink);
       font: 1.05rem/1.6 Georgia, "DejaVu Serif", serif; overflow-wrap: break-word }
nav, footer { font: .9rem/1.6 system-ui, sans-serif; color: var(--grey); display: flex; gap: 1rem; flex-wrap: wrap }
nav { border-bottom: 1px solid var(--line); padding-bottom: .5rem; justify-content: space-between }
h1 { font-size: 1.7rem; line-height: 1.25 } h2 { font-size: 1.25rem; margin-top: 2.2rem }
a { color: #2154a0 } img { max-width: 100%; height: auto; display: block; margin: 1rem 0; image-rendering: auto }
pre { overflow-x: auto; padding: .7rem .9rem; background: var(--code); font: .82rem/1.45 "DejaVu Sans Mono", monospace;
      border-radius: 4px; margin: 1rem 0 }
pre.out { background: none; border-left: 3px solid var(--line); color: #3d3d47 }
code { font: .88em "DejaVu Sans Mono", monospace; background: var(--code); padding: 0 .2em }
.formula { overflow-x: auto; overflow-y: hidden; margin: 1rem 0; padding: .2rem 0 } math { font-size: 1.1rem }
.formula math { display: block; text-align: left; margin: .45rem 0 .45rem 1.2rem; width: max-content }
.table { overflow-x: auto } table { border-collapse: collapse; font: .88rem/1.5 system-ui, sans-serif }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top }
.k { color: #8a3b8f } .s { color: #2f7a47 } .c { color: #7a7a85; font-style: italic } .n { color: #a5541a }
ol.course { list-style: none; padding: 0 } ol.course li { margin: .35rem 0 }
.time { color: var(--grey); font-size: .85em } details { margin: .3rem 0 }
summary { cursor: pointer; font-size: .88rem }
"""


def page(title: str, body: str, before: tuple[str, str] | None = None, after: tuple[str, str] | None = None) -> str:
    """A whole page. before, after: (address, text) of the pages beside it."""
    ends = [f'<a href="{link[0]}">{left}{escape(link[1])}{right}</a>' if link else "<span></span>"
            for link, left, right in ((before, "← ", ""), (after, "", " →"))]
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(title)}</title><link rel="stylesheet" href="style.css"></head><body>'
            '<nav><a href="index.html">tinyart, the course</a><a href="slips.html">slips</a>'
            f'<a href="equations.html">equations</a></nav><main>{body}</main>'
            f"<footer>{ends[0]}{ends[1]}</footer></body></html>\n")


# ---- text


def prose(text: str) -> str:
    """A text cell as HTML: headings, paragraphs, numbered lists, tables; indented blocks are formulas."""
    parts = []
    for block in re.split(r"\n\s*\n", text):
        lines = block.splitlines()
        if not block.strip():
            continue
        if all(line.startswith("    ") for line in lines):
            parts.append(f'<div class="formula">{"".join(map(to_mathml, lines))}</div>')
        elif lines[0].startswith("#"):
            level = len(lines[0]) - len(lines[0].lstrip("#"))
            parts.append(f"<h{level}>{inline(lines[0].lstrip('# '))}</h{level}>")
            if rest := "\n".join(lines[1:]):
                parts.append(prose(rest))
        elif lines[0].startswith("|"):
            parts.append(table([[cell.strip() for cell in line.strip("|").split("|")] for line in lines]))
        elif re.match(r"\d+\. ", lines[0]):
            items = re.split(r"^\d+\. ", block, flags=re.MULTILINE)[1:]
            parts.append("<ol>" + "".join(f"<li>{inline(' '.join(item.split()))}</li>" for item in items) + "</ol>")
        else:
            parts.append(f"<p>{inline(block)}</p>")
    return "\n".join(parts)


def inline(text: str) -> str:
    """`code`, *stress*, and what HTML needs escaped."""
    pieces = re.split(r"`([^`]+)`", text)
    return "".join(f"<code>{escape(piece)}</code>" if i % 2 else
                   re.sub(r"\*([^*\s][^*]*)\*", r"<em>\1</em>", escape(piece, quote=False))
                   for i, piece in enumerate(pieces))


def table(rows: list[list[str]]) -> str:
    """Markdown's table, whose second row is a ruler."""
    head = "".join(f"<th>{inline(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{inline(cell)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f'<div class="table"><table><tr>{head}</tr>{body}</table></div>'


def code(text: str) -> str:
    """Python with its keywords, strings, comments and numbers marked."""
    kinds = {tokenize.STRING: "s", tokenize.COMMENT: "c", tokenize.NUMBER: "n"}
    lines, out, at = text.splitlines(keepends=True), [], (1, 0)

    def between(start: tuple[int, int], end: tuple[int, int]) -> str:
        if start[0] == end[0]:
            return lines[start[0] - 1][start[1]:end[1]] if start[0] <= len(lines) else ""
        return lines[start[0] - 1][start[1]:] + "".join(lines[start[0]:end[0] - 1]) + (
            lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else "")

    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = kinds.get(token.type, "k" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else "")
        if kind:
            out.append(escape(between(at, token.start)))
            out.append(f'<span class="{kind}">{escape(token.string)}</span>')
            at = token.end
    out.append(escape(between(at, (len(lines) + 1, 0))))
    return f"<pre>{''.join(out)}</pre>"


# ---- pages


def lesson_body(item: Lesson, out: Path, toy: bool) -> str:
    """Run a lesson, and everything of it as HTML; its pictures go to OUT/pictures/NAME."""
    parts: list[str] = []

    @contextlib.contextmanager
    def around(cell: Cell, session: Session) -> Iterator[None]:
        if not cell.code:
            parts.append(prose(cell.text))
            yield
            return
        parts.append(code(cell.text))
        seen = len(session.pictures)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            yield
        text = "\n".join(line for line in said.getvalue().splitlines() if not line.startswith("picture: ")).strip("\n")
        if text:
            parts.append(f'<pre class="out">{escape(text)}</pre>')
        for path in session.pictures[seen:]:
            width, height = Image.open(path).size
            parts.append(f'<img src="{path.relative_to(out).as_posix()}" width="{width}" height="{height}" '
                         f'alt="{escape(item.title)}: {escape(path.stem.replace("_", " "))}">')

    run(item.path, out / "pictures" / item.path.stem, toy=toy, around=around)
    return "\n".join(parts)


def index(course: list[Lesson]) -> str:
    """The first page."""
    items = "".join(f'<li><a href="{item.path.stem}.html">{item.number} {escape(item.title)}</a> '
                    f'<span class="time">{escape(item.time)}</span></li>' for item in course)
    return ("<h1>tinyart, the course</h1><p>From a tape for single numbers to networks that paint: every equation of "
            "five documents on art and machine learning beside its line of code, run, checked, and put right where it "
            f'was wrong.</p><ol class="course">{items}</ol><p>Also: <a href="slips.html">what the documents get wrong'
            '</a>, each slip with the number that shows it, and '
            '<a href="equations.html">the index of equations</a>.</p>')


def slips_index(items: list[Lesson]) -> str:
    """The list of slips."""
    rows = "".join(f'<li><a href="{item.path.stem}.html">{escape(item.title)}</a></li>' for item in items)
    return ("<h1>What the documents get wrong</h1><p>Each is run as it is written, fails visibly, and has the right "
            f'one beside it.</p><ol class="course">{rows}</ol>')


def equations_page(course: list[Lesson], wrong: list[Lesson]) -> str:
    """The index of equations: formula, lesson, test, and the source of the function, folded."""
    names, known = {item.number: item.path.stem for item in course}, {item.path.stem for item in wrong}
    parts = ["<h1>Index of equations</h1><p>Each equation of the documents, as it is right, and its code.</p>"]
    for document in sorted({e.document for e in EQUATIONS}):
        parts.append(f"<h2>Document {document}</h2>")
        parts += [equation(e, names, known) for e in EQUATIONS if e.document == document]
    return "\n".join(parts)


def equation(e: Equation, names: dict[str, str], known: set[str]) -> str:
    """One of them."""
    links = [f'<a href="{names[e.lesson]}.html">lesson {e.lesson}</a>'] if e.lesson in names else [f"lesson {e.lesson}"]
    links += [f'<a href="{e.slip}.html">slip</a>'] if e.slip in known else []
    found = inspect.unwrap(_resolve(e.function))
    if inspect.isfunction(found) or inspect.isclass(found):
        source = inspect.getsource(found)
        where = Path(inspect.getfile(found)).relative_to(FOLDER.parent).as_posix()
    else:  # an operation that is a row of a table: an object with a rule
        source, where = f"{e.function}: {found.__doc__}\n", "tinyart/ops"
    return (f"<p><b>{escape(e.name)}</b>, section {escape(e.section)}: {', '.join(links)}; "
            f"test <code>{escape(e.test)}</code></p>"
            f'<div class="formula">{to_mathml(e.formula)}</div>'
            f"<details><summary><code>{escape(e.function)}</code> in {escape(where)}</summary>"
            f"<pre>{escape(inspect.cleandoc(source) if source.startswith(' ') else source)}</pre></details>")


def _resolve(dotted: str) -> Any:
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: Any = import_module(".".join(["tinyart", *parts[:cut]]))
            for part in parts[cut:]:
                found = getattr(found, part)
            return found
    raise ModuleNotFoundError(dotted)


def main(out: Path, toy: bool, names: list[str]) -> None:
    """Write the site into `out`, which is emptied first if it is one."""
    if (out / "style.css").exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    chosen = [lesson(name) for name in names] or [*lessons(), *slips()]
    course = [item for item in chosen if item.path.parent.name != "slips"]
    wrong = [item for item in chosen if item.path.parent.name == "slips"]
    (out / "style.css").write_text(STYLE)
    for items in (course, wrong):
        for k, item in enumerate(items):
            beside = [(f"{items[j].path.stem}.html", items[j].title) if 0 <= j < len(items) else None
                      for j in (k - 1, k + 1)]
            body = lesson_body(item, out, toy)
            (out / f"{item.path.stem}.html").write_text(page(item.title, body, *beside), "utf-8")
            print(item.path.stem, flush=True)
    (out / "index.html").write_text(page("tinyart, the course", index(course)), "utf-8")
    (out / "slips.html").write_text(page("What the documents get wrong", slips_index(wrong)), "utf-8")
    (out / "equations.html").write_text(page("Index of equations", equations_page(course, wrong)), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="lessons by number and slips by name; by default all")
    parser.add_argument("--out", type=Path, default=Path("runs/site"))
    parser.add_argument("--toy", action="store_true", help="at the size of the tests")
    arguments = parser.parse_args()
    main(arguments.out, arguments.toy, arguments.names)
