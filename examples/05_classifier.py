# %% [markdown]
# # 05 A convolutional classifier, and four ways to say how good it is
#
# Shows: the layers of a classifier with the shape after each; its training; then accuracy, precision, recall and F1
# from its confusion matrix, which document 0 mixes up.
#
# Time: 20 s
#
# Numbers to expect: 93 % or more right on 2,000 test digits after three passes over 10,000 (80 % on drawn pictures,
# where MNIST is absent: it then tells their ten families apart); and of one judge, whose accuracy is 0.90, a recall
# of 0.

# %%
import numpy as np

import tinyart as ta
from tinyart.data import Batches, heatmap, line_plot, panels, sheet
from tinyart.lesson import digits_or_art, expect, picture, show_source, size
from tinyart.models.classifier import ClassifierTrainer, lenet
from tinyart.models.metrics import accuracy, confusion_matrix, f1, precision, recall

train, labels, source = digits_or_art(size(toy=600, full=10_000))
test, answers, _ = digits_or_art(size(toy=200, full=2_000), split="test")
print(f"{len(train)} images to learn from and {len(test)} to be judged by: {source}")
picture("data", sheet(255 - train[:30], columns=10, scale=2))

# %% [markdown]
# ## The network (documents 1 and 4: features, then a decision)
#
# Convolution and pooling in turn, twice: each convolution looks for small patterns, each pooling keeps the strongest
# answer of four neighbours, so that the image shrinks while the list of patterns grows. At the end dense layers weigh
# what was found. This is LeNet-5 of 1998 in today's form:

# %%
show_source(lenet)
network, x = lenet((28, 28, 1), 10), ta.tensor(train[:1].astype(np.float32) / 255)
print(f"{'input':12} {x.shape}")
for layer in network:
    x = layer(x)
    print(f"{type(layer).__name__:12} {x.shape}")
expect("weights to learn", sum(p.size for p in network.parameters()), 61_706)

# %% [markdown]
# Pooling takes the largest of each 2×2 pixels, channel by channel; its gradient goes to that pixel alone:
#
#     y[i, j] = max_{a,b < 2} x[2 i + a, 2 j + b]

# %%
maps = np.random.default_rng(1).normal(size=(1, 6, 4, 3))
largest = maps.reshape(1, 3, 2, 2, 2, 3).max((2, 4))
expect("max_pool2d minus its formula", np.abs(ta.max_pool2d(ta.tensor(maps), 2).numpy() - largest).max(), 0.0)

# %% [markdown]
# Ten numbers y_k come out. Softmax makes probabilities of them, cross-entropy the loss, and the gradient of both
# together is as simple as lesson 03's:
#
#     p_k = e^(y_k) / Σ_j e^(y_j)
#     L = -log p_label
#     ∂L/∂y_k = p_k - [k = label]
#
# Before any training each class gets about a tenth, and the loss is near log 10 = 2.303.

# %%
y = ta.tensor(np.random.default_rng(0).normal(size=(1, 10)), requires_grad=True)
slope = ta.grad(ta.cross_entropy(y, np.array([3])), y).numpy()
expect("∂L/∂y minus (p - one-hot)", np.abs(slope - (ta.ops.softmax(y).numpy() - np.eye(10)[3])).max(), 0.0, 1e-15)

trainer = ClassifierTrainer(shape=(28, 28, 1), classes=10, network="lenet", lr=size(toy=3e-3, full=1e-3))
batches, curve = Batches((train, labels), 64), []
for _ in range(size(toy=6, full=3)):
    for batch in batches:
        curve.append((len(curve), trainer.step(*batch)["cross-entropy"]))
expect("first loss", curve[0][1], 2.303, 0.15)
confusion = trainer.evaluate(test, answers)
expect("accuracy on the test images", accuracy(confusion), least=size(toy=0.4, full=0.93 if source == "MNIST" else 0.8))
picture("loss", line_plot({"cross-entropy of a batch": curve}))

# %% [markdown]
# ## What kind of errors?
#
# The confusion matrix counts: row, what an image is; column, what it was taken for. For one class k, say "is it a 3?",
# an image is one of four things:
#
#     TP_k = c_kk,    FP_k = Σ_i c_ik - c_kk,    FN_k = Σ_j c_kj - c_kk,    TN_k the rest
#
# and there are four figures, which answer four questions:
#
#     accuracy = Σ_k c_kk / Σ_ij c_ij              which share of all was right?
#     precision = TP/(TP + FP)                     of what was called a 3, which share is one?
#     recall = TP/(TP + FN)                        of all 3s, which share was found?
#     F1 = 2/(1/precision + 1/recall)              one figure that is high only where both are
#
# Document 0 uses the Chinese word for precision for accuracy, explains precision by what recall is, and calls F1 the
# average of the two.

# %%
show_source(accuracy, precision, recall, f1)
print("class   precision   recall       F1")
for k in range(10):
    print(f"{k:5} " + "".join(f"{measure(confusion)[k]:10.3f}" for measure in (precision, recall, f1)))
ours = confusion_matrix(answers, trainer.predict(test).argmax(1), 10)
expect("Σ_ij c_ij", ours.sum(), len(test))
k = 3
tp, fp, fn = ours[k, k], ours[:, k].sum() - ours[k, k], ours[k].sum() - ours[k, k]
expect("precision of class 3 minus TP/(TP + FP)", precision(ours)[k] - tp / (tp + fp), 0.0, 1e-15)
expect("recall of class 3 minus TP/(TP + FN)", recall(ours)[k] - tp / (tp + fn), 0.0, 1e-15)
expect("F1 of class 3 minus the harmonic mean", f1(ours)[k] - 2 / ((tp + fp) / tp + (tp + fn) / tp), 0.0, 1e-12)

# %% [markdown]
# With ten classes of equal size the four differ little. They part where one class is rare. A hundred paintings, ten of
# them forged; a judge who never sees a forgery is right in 90 of 100 cases:

# %%
never = np.array([[90, 0], [10, 0]])  # genuine, forged
suspicious = np.array([[70, 20], [2, 8]])
for name, judge in (("never", never), ("suspicious", suspicious)):
    print(f"{name:10}  accuracy {accuracy(judge):.2f}  precision {precision(judge)[1]:.2f}  "
          f"recall {recall(judge)[1]:.2f}  F1 {f1(judge)[1]:.2f}")
expect("accuracy of the judge who sees nothing", accuracy(never), 0.90, 1e-12)
expect("recall of the judge who sees nothing", recall(never)[1], 0.0)
expect("accuracy of the suspicious one", accuracy(suspicious), 0.78, 1e-12)
expect("recall of the suspicious one", recall(suspicious)[1], 0.8, 1e-12)
expect("F1 of the suspicious one", f1(suspicious)[1], 0.42105, 1e-5)

# %% [markdown]
# The pictures: the confusion matrix with its diagonal taken out, so that the errors show; the six windows of 5×5 that
# the first layer has learnt; and some images that the network gets wrong, ordered by its certainty.

# %%
off = confusion - np.diag(confusion.diagonal())
filters = trainer.module.parameters()[0].numpy()  # (5, 5, 1, 6)
row = np.concatenate([np.pad(filters[:, :, 0, k], 1) for k in range(6)], axis=1)  # (7, 42)
said = trainer.predict(test)
wrong = np.flatnonzero(said.argmax(1) != answers)
worst = wrong[np.argsort(said[wrong, answers[wrong]])][:16]
picture("errors", panels([heatmap(off, scale=20), heatmap(row, scale=8), sheet(255 - test[worst], columns=8, scale=2)],
                         ["errors: row is, column taken for", "windows of the first layer", "worst errors"]))
