"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_code_runs(block: int, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[block], f"README.md, block {block}", "exec"), {})
    if "-ELBO" in BLOCKS[block]:
        loss = float(capsys.readouterr().out.split()[1])
        assert 300 < loss < 500  # 768 pixels at log 2 are 532 nats: where it starts


def test_there_is_code() -> None:
    assert len(BLOCKS) == 4
