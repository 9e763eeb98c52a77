"""Train a policy on the embedded hopper data, evaluate it, keep it, and let stable-baselines3 evaluate it as well.

The sizes are those of a first try, of some seconds; UPDATES = 3000 and the default width give the scores of the README.
"""

from pathlib import Path

import decision_minrnn as dm

UPDATES = 100

data = dm.load_dataset("hopper-medium")
print(f"{data.steps:,} steps in {len(data.returns)} episodes, which returned {data.returns.mean():.0f} on average")

config = dm.TrainConfig(
    "hopper-medium",
    updates=UPDATES,
    warmup=20,
    width=32,
    layers=1,
    batch_size=8,
    targets=(1800.0,),
    episodes=2,
    threads=1,
)
run = dm.train(config, data)
policy = run.policy  # the last weights; it knows its environment and its targets

evaluation = dm.evaluate(policy, episodes=4)
for row in evaluation.targets:
    print(f"target {row.target_return:g}: return {row.return_mean:.0f}, score {row.normalized_mean:.1f}")

policy.save_pretrained("shared-hopper")  # or policy.push_to_hub("me/hopper")
again = dm.Policy.from_pretrained("shared-hopper")
assert dm.evaluate(again, episodes=4).targets == evaluation.targets
print("run in", run.folder, "- shared:", *sorted(path.name for path in Path("shared-hopper").iterdir()))

try:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
except ImportError:
    print("stable-baselines3 is not installed")
else:
    environments = make_vec_env("Hopper-v5", 2, seed=0, wrapper_class=dm.RewardObservation)
    mean, deviation = evaluate_policy(dm.Agent(policy), environments, n_eval_episodes=2)
    print(f"stable-baselines3: return {mean:.0f} ± {deviation:.0f}")
