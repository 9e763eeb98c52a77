"""Act with an exported policy; needs numpy and onnxruntime, and neither torch nor decision_minrnn.

decision-minrnn export runs/... --out policy.onnx
python run_onnx.py policy.onnx
"""

import json
import sys

import numpy as np
import onnxruntime


class OnnxPolicy:
    """A policy in any number of episodes at once: `reset`, then `act` at each step."""

    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a step is too small to be divided
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.about = json.loads(self.session.get_modelmeta().custom_metadata_map["decision_minrnn"])

    def reset(self, episodes=1, target_return=None):
        """Start so many episodes; by default with the target that the policy was trained for."""
        start = dict(self.about["start"])
        if target_return is not None:
            start["return_to_go"] = target_return
        self.inputs = {}
        for name, value in start.items():
            entry = self.about["inputs"][name]
            self.inputs[name] = np.empty((episodes, *entry["shape"][1:]), entry["dtype"])
            self.inputs[name][:] = value

    def act(self, observation, reward=None):
        """The actions of the episodes from what they show now and what their last actions earned (first step: None)."""
        if reward is not None:
            self.inputs["reward"] = np.asarray(reward, np.float32)
        self.inputs["observation"] = np.asarray(observation, np.float32)
        outputs = self.session.run(["action", "next_return_to_go", "next_state"], self.inputs)
        self.inputs["previous_action"], self.inputs["return_to_go"], self.inputs["state"] = outputs
        return outputs[0]


if __name__ == "__main__":
    policy = OnnxPolicy(sys.argv[1])
    policy.reset()
    print("trained for", policy.about["env_id"], "target return", policy.about["start"]["return_to_go"])
    mean, deviation = policy.about["observation_mean"], policy.about["observation_std"]
    generator, reward = np.random.default_rng(0), None
    for step in range(5):
        observation = generator.normal(mean, deviation)[None]  # yours comes from an environment or a robot
        print(step, policy.act(observation, reward)[0])
        reward = [1.0]
