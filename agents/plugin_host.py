"""The child's side of ``plugin``: ``python -m agents.plugin_host`` imports a policy and answers questions on its pipes."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any

import numpy as np


def send(pipe: Any, header: dict[str, Any], array: np.ndarray | None) -> None:
    """A line of JSON, then the array's float32 or float64 bytes. Nothing of it is run by who reads it."""
    data = np.zeros(0, np.float32) if array is None else np.ascontiguousarray(array)
    pipe.write(json.dumps(header | {"shape": data.shape, "dtype": data.dtype.str}).encode() + b"\n")
    pipe.write(data.tobytes())
    pipe.flush()


def receive(pipe: Any) -> tuple[dict[str, Any], np.ndarray]:
    """What ``send`` wrote. Raises ValueError where it is something else, or too little."""
    header = json.loads(pipe.readline())
    dtype, shape = header["dtype"], tuple(int(n) for n in header["shape"])
    if dtype not in ("<f4", "<f8"):
        raise ValueError(f"arrays of {dtype} are not exchanged")
    size = int(np.prod(shape)) * int(dtype[2])
    data = pipe.read(size)
    if len(data) != size:
        raise ValueError("the other side ended")
    return header, np.frombuffer(data, dtype).reshape(shape)


def main() -> None:
    """Answer until the other side ends. What the policy prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    questions = sys.stdin.buffer
    facts, _ = receive(questions)
    module, _, name = facts["factory"].partition(":")
    policy = getattr(import_module(module), name)(facts)
    send(answers, {}, None)
    while True:
        try:
            header, observation = receive(questions)
        except ValueError:
            return
        if header["call"] == "reset":
            if hasattr(policy, "reset"):
                policy.reset(*header["arguments"])
            send(answers, {}, None)
        elif header["call"] == "act":
            send(answers, {}, np.asarray(policy.act(observation), np.float32))
        else:
            markups, hedge = policy.quote(observation)
            rows = len(observation)
            send(answers, {}, np.hstack([np.reshape(markups, (rows, -1)), np.reshape(hedge, (rows, 1))]).astype("<f8"))


if __name__ == "__main__":
    main()
