#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull's own kernel of the microVM level: built whole from Debian's source, once, and
# kept; then the tests of test_microvm.sh on it. Building takes ten minutes of processor
# time, so only with ./check --full.
here=$(cd "$(dirname "$0")" && pwd)
build=${HULL_BUILD:?}
if [ "${HULL_CHECK_FULL:-0}" != 1 ]; then
	echo "1..0 # SKIP building a kernel takes long: ./check --full does it"
	exit 0
fi
root=${HULL_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hull-lab}/own
export HULL_ROOT=$root HULL_RUN=$root/run
name=$("$build/src/cmd/hull/hull" kernel build --for microvm 2> "$root.log" | tail -1)
if [ -z "$name" ] || [ ! -f "$root/kernels/$name/kernel" ]; then
	sed 's/^/# /' "$root.log"
	echo "not ok 1 - hull kernel build --for microvm"
	echo "1..1"
	exit 1
fi
unset HULL_ROOT HULL_RUN
exec env HULL_LAB_KERNEL="$root/kernels/$name" "$here/test_microvm.sh"
