# %% [markdown]
# # Document 0, reinforcement learning: "a system consists of a policy network and a value network"
#
# "RL systems consist of two parts, Policy Network and Value Network. [..] RL models mainly include Q-learning, DDPG,
# A3C." Of these three only the last two have both. Q-learning learns one function, and its policy is read off it:
#
#     Q(s, a) ← Q(s, a) + α (r + γ max_b Q(s', b) - Q(s, a))
#     π(s) = argmax_a Q(s, a)
#
# And in its simplest form it has no network at all, only a table.

# %%
import numpy as np

from tinyart.lesson import expect

# A corridor of 6 places; left or right; a reward of 1 on reaching the last one, and nothing else.
places, alpha, gamma = 6, 0.5, 0.9
Q, rng = np.zeros((places, 2)), np.random.default_rng(0)
for _ in range(200):
    s = 0
    while s < places - 1:
        a = int(rng.integers(2)) if rng.random() < 0.3 or Q[s, 0] == Q[s, 1] else int(Q[s].argmax())
        after = max(0, s - 1) if a == 0 else s + 1
        reward = float(after == places - 1)
        future = 0.0 if after == places - 1 else gamma * Q[after].max()
        Q[s, a] += alpha * (reward + future - Q[s, a])
        s = after
expect("document says two networks; right: numbers in one table Q", Q.size, 12)
expect("places from which argmax Q goes right", (Q[:-1].argmax(1) == 1).sum(), places - 1)
expect("Q of the first step to the right, γ⁴", Q[0, 1], gamma**4, 1e-6)
