"""pollex-host: makes, keeps and serves on a host what a pollex declaration names.

Standard library only, and nothing younger than Python 3.9: it runs on the interpreter of the host. Formats, layout and
exit statuses: docs/reference/pollex-host.md. `manifest` is what both sides share: infra writes what is read here.
"""
