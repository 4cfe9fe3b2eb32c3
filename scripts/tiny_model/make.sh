#!/bin/sh
# Makes agent/demo/model.gguf and tests/data/random.gguf from nothing: see README.md beside this.
# Everything that is not a result stays in $WORK, outside of the repository.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${WORK:-${XDG_CACHE_HOME:-$HOME/.cache}/reapair-tiny-model}
project=${PROJECT_PYTHON:-$root/.venv/bin/python}
trainer=$work/venv/bin/python
source=llama_cpp_python-0.3.36
mkdir -p "$work" "$root/tests/data"

if ! [ -e "$work/venv/done" ]; then
    "$project" -m venv "$work/venv"
    "$trainer" -m pip install --quiet --requirement "$here/requirements.txt"
    touch "$work/venv/done"
fi
if ! [ -e "$work/llama.cpp/convert_hf_to_gguf.py" ]; then
    "$trainer" -m pip download --quiet --no-deps --no-binary llama-cpp-python \
        --dest "$work" llama-cpp-python==0.3.36
    mkdir -p "$work/llama.cpp"
    tar -xzf "$work/$source.tar.gz" --strip-components=3 -C "$work/llama.cpp" \
        "$source/vendor/llama.cpp/convert_hf_to_gguf.py" "$source/vendor/llama.cpp/conversion" \
        "$source/vendor/llama.cpp/gguf-py" "$source/vendor/llama.cpp/models/templates"
fi

"$project" "$here/pin.py"
"$project" "$here/record.py" "$work/recorded.json" --sandbox "${SANDBOX:-auto}"
rm -rf "$work/model" "$work/random"
nice -n 5 "$trainer" "$here/train.py" \
    "$work/recorded.json" "$work/llama.cpp" "$work/model" "$work/random"
convert() {
    "$trainer" "$here/convert.py" "$work/llama.cpp" "$work/$1" "$work/$1.gguf" "$2" "$here/$3"
}
convert model q8_0 metadata.json
convert random f16 metadata_random.json
cp "$work/random.gguf" "$root/tests/data/random.gguf"
"$project" "$here/gate.py" "$work/model.gguf" --sandbox "${SANDBOX:-auto}"
cp "$work/model.gguf" "$root/agent/demo/model.gguf"
ls -l "$root/agent/demo/model.gguf" "$root/tests/data/random.gguf"
