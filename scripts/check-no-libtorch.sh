#!/usr/bin/env bash
# Fails if the program named on the command line needs libtorch, or does not start.
set -euo pipefail

program=${1:?usage: check-no-libtorch.sh PROGRAM}
needed=$(ldd "$program")
if grep -E 'libtorch|libc10|libcud' <<<"$needed"; then
    echo "$program needs libtorch (see above); built with --no-default-features it must not" >&2
    exit 1
fi
"$program" score --help >/dev/null
echo "$program: no libtorch among its $(wc -l <<<"$needed") libraries, $(du -h "$program" | cut -f1)"
