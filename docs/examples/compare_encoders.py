"""Several encoders on the same data, with the same settings and seed: size, loss and score beside each other.

One seed and a short training say little; more of both, and `decision-minrnn benchmark encoders` for speed, say more.
"""

import json

import decision_minrnn as dm

ENCODERS = ("mingru", "minlstm", "gru", "transformer", "mlp")
UPDATES = 100

data = dm.load_dataset("hopper-medium")
print(f"{'encoder':<12} {'parameters':>10} {'loss':>8} {'return':>7} {'score':>6}")
for encoder in ENCODERS:
    config = dm.TrainConfig(
        "hopper-medium", encoder=encoder, updates=UPDATES, width=32, layers=2, batch_size=16, context=20,
        targets=(1800.0,), episodes=4, threads=1, out=f"runs/compare-{encoder}",
    )  # fmt: skip
    run = dm.train(config, data)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    loss = [line["losses/action"] for line in lines if "losses/action" in line][-1]
    parameters = sum(parameter.numel() for parameter in run.policy.model.parameters())
    row = run.evaluation.targets[0]
    print(f"{encoder:<12} {parameters:>10,} {loss:>8.4f} {row.return_mean:>7.0f} {row.normalized_mean:>6.1f}")
