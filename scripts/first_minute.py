"""What a new user does first: quantize, write, read, count, run a pretrained network; see scripts/wheels.

    python scripts/first_minute.py FILE.circle

Prints what has to be equal on every machine, as JSON.
"""

import json
import sys

import numpy as np

import lowbit
from lowbit.data import load
from lowbit.zoo import trained

small, _ = lowbit.quantize(trained("digits"), load("digits", split="train").samples, bits=2)
lowbit.write(small, sys.argv[1])
found = lowbit.evaluate(sys.argv[1], "digits")
digits = load("digits").samples.reshape(-1, 8, 8)
pictures = np.pad(digits.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2))).reshape(-1, 784)
scores = lowbit.load(lowbit.pretrained("mnist-mlp-1bit")).run(np.ascontiguousarray(pictures))
print(json.dumps({"top1": found["top1"], "classes": scores.argmax(axis=1).tolist()}))
