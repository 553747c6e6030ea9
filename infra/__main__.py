"""The Pulumi program."""

import pulumi

from infra import config, program

for name, value in program.declare(config.load()).items():
    pulumi.export(name, value)
