"""Which units multiply float32 matrices: `tinyart.set_matmul_precision` changes it."""

tf32 = False
