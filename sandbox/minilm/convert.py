"""Runs llama.cpp's convert_hf_to_gguf.py on an older torch: `convert.py SCRIPT ARGUMENT…`.

It names two number types that torch 1.13 does not have, only to look them up; no tensor here is of them.
"""

from __future__ import annotations

import runpy
import sys

import torch  # type: ignore[import-not-found]

for name in ("float8_e4m3fn", "float8_e5m2"):
    if not hasattr(torch, name):
        setattr(torch, name, object())

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
