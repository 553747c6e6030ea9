"""JetPack 4.6 beside what is used of a host: what it lacks, and what happens there instead.

`python -m infra.jetpack` writes docs/reference/jetpack.md; tests/infra/test_jetpack.py refuses what is in no table, or
too new and without an answer.
"""
