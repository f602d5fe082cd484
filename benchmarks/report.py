"""What the measurements say: the table on the terminal and in the README, rows where tinyart loses first; a chart."""

import statistics
from collections.abc import Iterator
from typing import Any

OURS = "tinyart"
REFERENCES = {"numpy"}  # of rows without a floor, of recording and importing: it does neither, so it is no peer there
Rows = dict[str, dict[str, Any]]


def times(row: dict[str, Any], clock: str = "seconds") -> dict[str, float]:
    """Contender -> median, of those that took part and had the right answer."""
    return {name: statistics.median(figure[clock]) for name, figure in row["contenders"].items()
            if clock in figure and "wrong" not in figure}


def fastest_peer(row: dict[str, Any], clock: str = "seconds") -> str | None:
    found, others = times(row, clock), {OURS} if "floor" in row else {OURS} | REFERENCES
    return min((name for name in found if name not in others), key=found.__getitem__, default=None)


def ratio(row: dict[str, Any], clock: str = "seconds") -> float | None:
    """The fastest peer's time over tinyart's: above 1 tinyart is faster. None without one of them."""
    found, peer = times(row, clock), fastest_peer(row, clock)
    return found[peer] / found[OURS] if peer and OURS in found else None


def share(row: dict[str, Any], clock: str = "seconds") -> float | None:
    """Of the floor: how much of tinyart's time is work that cannot be saved."""
    found = times(row, clock)
    return row["floor"][clock] / found[OURS] if "floor" in row and OURS in found else None


def memory(row: dict[str, Any]) -> float | None:
    """tinyart's peak over PyTorch's."""
    peaks = {name: figure.get("peak") for name, figure in row["contenders"].items()}
    return peaks[OURS] / peaks["torch"] if peaks.get(OURS) and peaks.get("torch") else None


def spread(values: list[float]) -> float:
    """Half the distance of the quartiles, over the median."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return (high - low) / 2 / middle


def in_order(rows: Rows, clock: str = "seconds") -> list[str]:
    """Names, the worst first: wrong answers, then by ratio, at last what cannot be compared."""
    def place(name: str) -> tuple[int, float]:
        found = ratio(rows[name], clock)
        return (0, 0.0) if "wrong" in rows[name]["contenders"].get(OURS, {}) else (2, 0.0) if found is None else (
            1, found)

    return sorted(rows, key=place)


def shown(value: float, unit: str = "s") -> str:
    """Three digits, and a unit that fits."""
    units = {"s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")], "B": [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]}
    size, name = next((pair for pair in units[unit] if value >= pair[0]), units[unit][-1])
    return f"{value / size:.{max(0, 2 - len(str(int(value / size))) + 1)}f} {name}"


def groups(rows: Rows, clock: str = "seconds") -> dict[str, list[float]]:
    """First part of the name -> ratios."""
    found: dict[str, list[float]] = {}
    for name, row in rows.items():
        if quotient := ratio(row, clock):
            found.setdefault(name.split("/")[0], []).append(quotient)
    return found


def peers_of(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows.values() for name in row["contenders"] if name != OURS))


def cells(row: dict[str, Any], contenders: list[str], clock: str) -> Iterator[str]:
    """Of each contender median and spread, then the ratio to the fastest peer, shares of floor and memory."""
    found = times(row, clock)
    for name in contenders:
        figure = row["contenders"].get(name, {})
        scatter = f" ±{spread(figure[clock]):.0%}" if name in found and row["unit"] == "s" else ""
        yield shown(found[name], row["unit"]) + scatter if name in found else "WRONG" if "wrong" in figure else ""
    for value, form in ((ratio(row, clock), ".2f"), (share(row, clock), ".0%"), (memory(row), ".2f")):
        yield "" if value is None else f"{value:{form}}"


COLUMNS = "ratio", "of floor", "memory"


def table(rows: Rows, clock: str = "seconds") -> str:
    """A line a row, the worst first; geometric means; and what is amiss."""
    contenders = [OURS, *peers_of(rows)]
    lines = [["row", *contenders, *COLUMNS], *([name, *cells(rows[name], contenders, clock)]
                                               for name in in_order(rows, clock))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines]
    text += [f"{group}: geometric mean of {len(values)} ratios {statistics.geometric_mean(values):.2f}, the lowest "
             f"{min(values):.2f}" for group, values in groups(rows, clock).items()]
    for word in ("wrong", "skipped"):
        text += [f"{word}: {name}: {contender}: {figure[word]}" for name, row in rows.items()
                 for contender, figure in row["contenders"].items() if word in figure]
    return "\n".join(text)


# ---- the README


def readme(results: dict[str, Any]) -> str:
    """The training steps and what comes before them as a table in Markdown, the worst first; of the others those that
    lose, and means.
    """
    rows = {name: row for name, row in results["rows"].items() if name.split("/")[0] in ("step", "overhead")}
    contenders = [name for name in [OURS, *peers_of(rows)]
                  if any(name in times(row) for row in rows.values())]
    here, versions = results["machine"], results["versions"]
    lines = [" | ".join(["| what", *contenders, *COLUMNS]) + " |", "| --- " * (1 + len(contenders) + 3) + "|"]
    lines += [" | ".join([f"| {name}", *cells(rows[name], contenders, "seconds")]) + " |" for name in in_order(rows)]
    means = [f"{group} {statistics.geometric_mean(values):.2f} (lowest {min(values):.2f}, {len(values)} rows)"
             for group, values in groups(results["rows"]).items() if group != "overhead"]
    others = {name: row for name, row in results["rows"].items() if name not in rows}
    losing = [f"{name} {value:.2f}" for name in in_order(others) if (value := ratio(others[name], "seconds") or 1) < 1]
    known = ", ".join(f"{name} {versions[name]}" for name in versions if versions[name] != "none")
    return "\n".join([
        *lines, "",
        "Median of the rounds ± half the distance of the quartiles. *ratio*: the fastest peer's time over tinyart's;",
        "above 1 tinyart is faster. *of floor*: the share of tinyart's time that the operations (without padding) take",
        "at the machine's own rate of matrix products, and the bytes at its memory's. *memory*: tinyart's peak over",
        "PyTorch's.",
        f"Geometric means of the ratios: {'; '.join(means)}.", "",
        *([f"Of the other rows these lose: {', '.join(losing)}.", ""] if losing else []),
        f"{here['cpu']}, {here['cores']} cores, {here['memory GiB']} GiB, {here['system']}; {known}.", ""])


def with_table(text: str, results: dict[str, Any]) -> str:
    """The README `text` with the table of these results between its marks."""
    marks = "<!-- python -m benchmarks --readme -->\n", "<!-- end -->"
    if text.count(marks[0]) != 1 or text.count(marks[1]) != 1:
        raise SystemExit(f"the README has no place for the table: {marks[0].strip()} .. {marks[1]}")
    before, rest = text.split(marks[0])
    return before + marks[0] + readme(results) + marks[1] + rest.split(marks[1])[1]
