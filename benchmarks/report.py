"""What the measurements say: the table on the terminal, rows where tinyart loses first."""

import statistics
from collections.abc import Iterable
from typing import Any

OURS = "tinyart"


def times(row: dict[str, Any], clock: str = "seconds") -> dict[str, float]:
    """Contender -> median seconds, of those that took part and had the right answer."""
    return {name: statistics.median(figure[clock]) for name, figure in row["contenders"].items()
            if figure.get(clock) and "wrong" not in figure and "skipped" not in figure}


def ratio(row: dict[str, Any], clock: str = "seconds") -> float | None:
    """The fastest peer's time over tinyart's: above 1 tinyart is faster. None without one of them."""
    found = times(row, clock)
    ours = found.pop(OURS, None)
    return min(found.values()) / ours if ours and found else None


def spread(figure: dict[str, Any], clock: str = "seconds") -> float:
    """Half the distance of the quartiles, over the median."""
    low, middle, high = statistics.quantiles(figure[clock], n=4, method="inclusive")
    return (high - low) / 2 / middle


def in_order(rows: dict[str, Any], clock: str = "seconds") -> list[str]:
    """Names, the worst first: what went wrong, then by ratio, at last what has none."""
    def place(name: str) -> tuple[int, float]:
        ours = rows[name]["contenders"].get(OURS, {})
        found = ratio(rows[name], clock)
        return (0, 0.0) if "wrong" in ours else (2, 0.0) if found is None else (1, found)

    return sorted(rows, key=place)


def geometric_mean(values: Iterable[float]) -> float:
    return statistics.geometric_mean(values)


def table(rows: dict[str, Any], clock: str = "seconds") -> str:
    """A line a row: time and spread, ratio to the fastest peer, share of the floor, memory; then what is amiss."""
    peers = list(dict.fromkeys(name for row in rows.values() for name in row["contenders"] if name != OURS))
    width = max(map(len, rows), default=0)
    lines = [f"{'row, times in ms':{width}} {'tinyart':>16} " + " ".join(f"{peer:>16}" for peer in peers)
             + "   ratio  floor  share  memory"]
    notes = []
    for name in in_order(rows, clock):
        row = rows[name]
        found, contenders = times(row, clock), row["contenders"]
        cells = [f"{1e3 * found[c]:10.3f} ±{spread(contenders[c], clock):3.0%}" if c in found
                 else "WRONG" if "wrong" in contenders.get(c, {}) else "-" for c in (OURS, *peers)]
        quotient, floor = ratio(row, clock), row["floor"][clock]
        cells = [f"{cell:>16}" for cell in cells]
        cells.append(f"{quotient:7.2f}" if quotient else f"{'-':>7}")
        cells.append(f"{1e3 * floor:6.2f} {floor / found[OURS]:5.0%}" if OURS in found else f"{'-':>12}")
        fastest = min((c for c in found if c != OURS), key=found.__getitem__, default=None)
        if fastest and OURS in found:
            cells.append(f"{contenders[OURS]['peak'] / contenders[fastest]['peak']:6.2f}")
        lines.append(f"{name:{width}} " + " ".join(cells))
        for c, figure in contenders.items():
            if "wrong" in figure:
                notes.append(f"WRONG ANSWER: {name}: {c}: {figure['wrong']}")
            elif "skipped" in figure:
                notes.append(f"skipped: {name}: {c}: {figure['skipped']}")
    for prefix in dict.fromkeys(name.split("/")[0] for name in rows):
        quotients = [q for name, row in rows.items() if name.startswith(prefix + "/") and (q := ratio(row, clock))]
        if quotients:
            lines.append(f"{prefix}: geometric mean of {len(quotients)} ratios {geometric_mean(quotients):.2f}, "
                         f"lowest {min(quotients):.2f}")
    return "\n".join([*lines, *notes])
