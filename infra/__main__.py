"""The Pulumi program."""

import pulumi

from infra import config
from infra.kinds import table

for name, value in table.declare(config.load()).items():
    pulumi.export(name, value)
