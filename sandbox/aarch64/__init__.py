"""A stand-in board of the Nano's architecture: Debian for arm64, whose programs, systemd among them, are run by QEMU.

`__main__` is `make sandbox-aarch64`; `build` makes llama-server for it, `python` the interpreter that it is brought.
"""
