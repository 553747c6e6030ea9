"""What sentence-transformers makes of texts: `encode.py vectors|tokens MODEL LIMIT TEXTS.json RESULT.json`.

Texts and result are JSON lists of equal length; a result's entry is the text's vector, of length 1, or its tokens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

wanted, folder, limit, texts_file, result_file = sys.argv[1:]
texts = json.loads(Path(texts_file).read_text())
model = SentenceTransformer(folder, device="cpu")
# The published model cuts texts off at 256 tokens, though its authors' network takes 512.
model.max_seq_length = int(limit)
result = model.encode(texts).tolist() if wanted == "vectors" else model.tokenizer(texts)["input_ids"]
Path(result_file).write_text(json.dumps(result))
