#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The lab itself: it hands over the status, both outputs and words as they are, has
# what it promises, and nothing that a command does in it stays on the host.
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 n=0
check() {
	local what=$1
	shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $what"; else echo "not ok $n - $what"; failed=1; fi
}
"$here/run" --timeout 150 -- '[ -c /dev/kvm ] && echo kvm; cat /sys/fs/cgroup/cgroup.controllers; hull run --rm demo sh -c "echo inside; exit 9";
	echo "status $?"; touch '"$work"'/left; echo wrong >&2; exit 200' > "$work/out" 2> "$work/err"
status=$?
sed 's/^/# /' "$work/out" "$work/err"
check "the command's status" [ $status = 200 ]
check "a KVM" grep -qx kvm "$work/out"
check "cgroup v2 with its controllers" grep -q 'cpuset cpu io memory.*pids' "$work/out"
check "hull, with the demo image" grep -qx inside "$work/out"
check "its exit status" grep -qx 'status 9' "$work/out"
check "the error output apart" [ "$(cat "$work/err")" = wrong ]
check "what is written there stays there" [ ! -e "$work/left" ]
"$here/run" --timeout 5 -- sleep 60 > "$work/out" 2>&1
check "its time is bounded" [ $? = 124 ]
echo "1..$n"
exit $failed
