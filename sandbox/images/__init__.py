"""Real parts for building and running images where no image registry can be reached.

BuildKit, buildx and compose come from Go modules (`tools`), the base image from Debian's packages (`base`), the
registry from Debian (`registry`); `engine` runs what was built. `python -m sandbox.images` is `make image`.
"""
