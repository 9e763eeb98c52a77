"""From an environment of one's own to a policy: record random actions, train on them, do better than they did."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box

import decision_minrnn as dm

UPDATES = 400


class Thermostat(gymnasium.Env):
    """Shows the distance from the wanted temperature and the weather; heats or cools; pays minus the distance."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        """Any distance, any weather."""
        super().reset(seed=seed)
        self.distance, self.weather = self.np_random.uniform(-2, 2), self.np_random.uniform(-0.3, 0.3)
        return self._seen(), {}

    def step(self, action):
        """Heat by the action, while the weather goes on."""
        self.distance += float(action[0]) + self.weather
        return self._seen(), -abs(self.distance), False, False, {}

    def _seen(self):
        return np.array([self.distance, self.weather], np.float32)


gymnasium.register("Thermostat-v0", Thermostat, max_episode_steps=20)

# flat arrays of one row a step: D4RL's layout, which `data check` can look through
env = gymnasium.make("Thermostat-v0")
env.action_space.seed(0)
rows = []
for seed in range(300):
    observation, _ = env.reset(seed=seed)
    over = False
    while not over:
        action = env.action_space.sample()
        following, reward, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, reward, terminated, truncated))
        observation, over = following, terminated or truncated
names = ("observations", "actions", "rewards", "terminals", "timeouts")
arrays = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
np.savez("random.npz", **arrays, **{"metadata/env_id": np.array("Thermostat-v0")})

data = dm.load_dataset("random.npz")
config = dm.TrainConfig(
    "random.npz", updates=UPDATES, width=16, layers=1, context=20, batch_size=16, warmup=50, episodes=50, threads=1
)
run = dm.train(config, data)
print(f"random actions return {data.returns.mean():.1f}, the policy {run.evaluation.targets[0].return_mean:.1f}")
