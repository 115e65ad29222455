#!/bin/sh
# Runs a command without address space randomisation where that is allowed: ThreadSanitizer of
# older compilers cannot lay out its memory on kernels that randomise more than it expects.
set -eu
if command -v setarch >/dev/null 2>&1 && setarch "$(uname -m)" -R true 2>/dev/null; then
    exec setarch "$(uname -m)" -R "$@"
fi
exec "$@"
