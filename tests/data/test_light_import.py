"""Importing the readers costs nothing that a reader may not need."""

import subprocess
import sys


def test_importing_the_data_package_loads_no_heavy_module():
    heavy = ["PIL", "urllib.request", "http.client", "numba", "safetensors", "rich"]
    code = f"import sys, tinyart.data; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
