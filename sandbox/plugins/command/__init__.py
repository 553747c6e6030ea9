"""Stand-in for the provider plugin pulumi-command 1.2.1, for machines where its download cannot be reached.

It serves `command:remote:Command` and `command:remote:CopyToRemote` with the inputs, outputs, diffs and state of
the official plugin, so that a stack can go from one to the other. It differs on purpose in two points only: it
stops promptly when the engine cancels, and it never hangs on long output lines.
"""

VERSION = "1.2.1"
"""The release of pulumi-command whose behaviour is reproduced."""
