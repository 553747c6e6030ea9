"""`python -m infra.proof`."""

from infra import proof

proof.write()
