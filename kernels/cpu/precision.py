"""How float32 matrices and images are multiplied: `tinyart.set_matmul_precision` changes it."""

bfloat16 = False
