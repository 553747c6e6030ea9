"""Stand-in for the provider plugin pulumi-docker 5.2.0, for machines where its download cannot be reached.

It serves `Volume`, `Network`, `RemoteImage` and `Container` with the inputs and outputs of the official plugin, as far
as infra/kinds/dev/component.py uses them, by Debian's own `docker`. Declared deviations: what has changed is made again
where the official plugin speaks of a replacement, and logins are those of `docker login`.
"""

VERSION = "5.2.0"
"""The release of pulumi-docker whose inputs and outputs are meant."""
