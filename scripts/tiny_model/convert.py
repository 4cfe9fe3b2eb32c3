"""Turn a saved network into a GGUF file with llama.cpp's own converter.

    python convert.py LLAMA_CPP MODEL_DIRECTORY OUT.gguf q8_0|f16 METADATA.json

The converter knows pre-tokenizers by the hash of published vocabularies only; ours is GLM-4's with
another vocabulary, so that it has to be told.
"""

from __future__ import annotations

import runpy
import sys


def main() -> None:
    """Run the converter with the pre-tokenizer set."""
    llama_cpp, model, out, kind, metadata = sys.argv[1:]
    sys.path[:0] = [f"{llama_cpp}/gguf-py", llama_cpp]
    from conversion import base

    for candidate in vars(base).values():
        if isinstance(candidate, type) and hasattr(candidate, "get_vocab_base_pre"):
            candidate.get_vocab_base_pre = lambda *_: "glm4"
    converter = f"{llama_cpp}/convert_hf_to_gguf.py"
    options = ["--outfile", out, "--outtype", kind, "--metadata", metadata]
    sys.argv = [converter, model, *options]
    runpy.run_path(converter, run_name="__main__")


if __name__ == "__main__":
    main()
