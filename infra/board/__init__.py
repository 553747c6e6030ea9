"""`make board`: from a host that knows a password to one that `pulumi up` can use, with the plain OpenSSH client."""
