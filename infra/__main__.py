"""The Pulumi program: what a stack declares is chosen by its kind."""

import pulumi

from infra import config, jetson

DECLARE = {"host": jetson.declare}

stack = config.load()
for name, value in DECLARE[stack.kind](stack).items():
    pulumi.export(name, value)
