#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Debian's kernel under hull-vmm, without anything of hull's around: as a bzImage and,
# unpacked, as an ELF file by PVH; two processors; the ways in which it ends.
here=$(cd "$(dirname "$0")" && pwd)
build=${HULL_BUILD:?}
if [ "${1:-}" != inside ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	kernel=$("$here/kernel")
	mkdir -p "$work/root"/{bin,dev,proc,sys}
	cp /bin/busybox "$work/root/bin/"
	cat > "$work/root/init" <<-'INIT'
	#!/bin/busybox sh
	/bin/busybox mount -t proc proc /proc
	/bin/busybox mount -t devtmpfs dev /dev
	exec > /dev/console 2>&1
	echo "init speaks on $(/bin/busybox grep -c ^processor /proc/cpuinfo) processors, $(/bin/busybox sed -n 's/MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) kB"
	for word in $(/bin/busybox cat /proc/cmdline); do
		case $word in
		end=off) /bin/busybox poweroff -f ;;
		end=reboot) /bin/busybox reboot -f ;;
		end=crash) echo c > /proc/sysrq-trigger ;;
		end=init) exit 1 ;;
		esac
	done
	INIT
	chmod 755 "$work/root/init"
	(cd "$work/root" && find . | cpio -o -H newc --quiet) > "$work/initramfs"
	# The compressed kernel inside, by LZ4's magic number.
	at=$(LC_ALL=C grep -aobF -m 1 "$(printf '\002\041\114\030')" "$kernel/vmlinuz" | head -1 | cut -d: -f1)
	tail -c +$((at + 1)) "$kernel/vmlinuz" | lz4 -dcq > "$work/vmlinux" 2> /dev/null
	"$here/run" --timeout 400 -- "$0" inside "$work" "$kernel/vmlinuz"
	exit
fi
work=$2 bzimage=$3 failed=0 n=0
check() {
	local what=$1
	shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $what"; else echo "not ok $n - $what"; failed=1; sed 's/^/# /' "$work/out" "$work/err"; fi
}
boot() {
	local end=$1
	shift
	"$build/tests/vmm/vmm-start" --vmm "$build/src/cmd/hull-vmm/hull-vmm" --initramfs "$work/initramfs" \
		--cmdline "console=ttyS0 quiet panic=-1 pci=off end=$end" --rng --balloon "$@" > "$work/out" 2> "$work/err"
	status=$?
}
boot off --memory 256 --cpus 1 "$bzimage"
check "a bzImage boots and powers itself off" [ $status = 0 ]
check "on one processor" grep -q 'init speaks on 1 processors' "$work/out"
boot reboot --memory 200 --cpus 1 "$work/vmlinux"
check "an ELF kernel boots by PVH and resets itself" [ $status = 40 ]
boot off --memory 256 --cpus 2 "$work/vmlinux"
check "it boots on two processors" grep -q 'init speaks on 2 processors' "$work/out"
boot crash --memory 200 --cpus 1 "$work/vmlinux"
check "a crash is no power-off" [ $status != 0 ] && check "but told apart from errors of the monitor's" grep -qE '^end 4[012] ' "$work/err"
boot off --memory 64 --cpus 1 "$bzimage"
check "too little memory is said" grep -q 'are too little for this kernel' "$work/err"
check "before anything runs" [ $status = 44 ]
echo "1..$n"
exit $failed
