"""The provider: what pulumi-command cannot do for a host. A resource's declaration and its life cycle share a file.

`Host` is the preflight that everything else depends on, `Generation` activates what was built and knows what drifted.
The plugin speaks the raw provider protocol (`server.py`) and not `pulumi.provider.experimental`: that one hides the
old inputs from a diff, puts stack traces into errors, and knows neither the engine's log nor cancellation.
"""

VERSION = "0.1.0"
