# %% [markdown]
# # Document 0, metrics: four figures under three words
#
# "Accuracy: 精度 (the word for precision), the share of right predictions. Precision: the ability to identify positive
# samples. F1: the average of precision and recall." Taken at its word, precision is recall, accuracy is precision, and
# F1 is an arithmetic mean. The four are four different figures:
#
#     accuracy = (TP + TN)/N,   precision = TP/(TP + FP),   recall = TP/(TP + FN),   F1 = 2 P R/(P + R)

# %%
import numpy as np

from tinyart.lesson import expect
from tinyart.models.metrics import accuracy, f1, precision, recall

# 1,000 pictures, 50 of them roses. A judge finds 40 of these, and takes 60 others for roses.
confusion = np.array([[890, 60], [10, 40]])
p, r = precision(confusion)[1], recall(confusion)[1]
expect("accuracy: the share of right predictions", accuracy(confusion), 0.93, 1e-12)
expect("precision: of what was called a rose, the share that is one", p, 0.4, 1e-12)
expect("recall: the ability to find roses, which the document calls precision", r, 0.8, 1e-12)
expect("F1, the harmonic mean", f1(confusion)[1], 2 * p * r / (p + r), 1e-12)

# %%
# The document's F1, for a judge who calls everything a rose: it would praise him.
everything = np.array([[0, 950], [0, 50]])
p, r = precision(everything)[1], recall(everything)[1]
expect("document: the average of the two", (p + r) / 2, 0.525, 1e-12)
expect("right: F1", f1(everything)[1], 0.0952, 1e-4)
