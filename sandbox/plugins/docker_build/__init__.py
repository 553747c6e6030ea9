"""Stand-in for the provider plugin pulumi-docker-build 0.0.22, for machines where its download cannot be reached.

It serves `docker-build:index:Image` with the inputs and outputs of the official plugin as far as
infra/kinds/image/component.py uses them: what is built is what `docker buildx build` makes of the same request.
Declared deviations: its `contextHash` is another hash than the official one, so that a stack that changes over is built
once more (with the same digest), and `registries` is no output, because it holds the token.
"""

VERSION = "0.0.22"
"""The release of pulumi-docker-build whose inputs and outputs are meant."""
