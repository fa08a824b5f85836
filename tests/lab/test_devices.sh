#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# hull's virtual devices under Debian's own drivers, each used in earnest: what a
# fake driver in a unit test cannot show. One machine in the lab's machine.
here=$(cd "$(dirname "$0")" && pwd)
export HULL_BUILD=${HULL_BUILD:-$here/../../build-release}
if [ "${1:-}" != inside ]; then
	if [ "${HULL_CHECK_FULL:-1}" = 0 ]; then echo "1..0 # SKIP a machine in a machine is slow: only with ./check --full"; exit; fi
	exec "$here/run" --timeout 400 -- "$0" inside "$("$here/kernel")"
fi
kernel=$2
version=$(cat "$kernel/version")
work=$(mktemp -d)
export PATH=$PATH:/usr/sbin:/sbin

# What the devices are of: a disk to write, layers, a layer mapped in, a folder.
truncate -s 16M "$work/disk"
mkdir "$work/a" "$work/b" "$work/share"
echo first > "$work/a/name" && head -c 1000000 /dev/urandom > "$work/a/data"
echo second > "$work/b/name"
for layer in a b; do mkfs.erofs --quiet "$work/$layer.erofs" "$work/$layer" > /dev/null || exit 1; done
head -c 1500000 /dev/urandom > "$work/share/data"
sum() { md5sum < "$1" | cut -c1-32; }

# The guest: busybox, modules, and a script that says "yes WHAT" for what works.
root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,mnt,modules}
cp /bin/busybox "$root/bin/"
for module in virtio_mmio virtio_blk virtio_console virtiofs erofs nd_pmem virtio_pmem virtio-rng virtio_balloon; do
	modprobe -d "$kernel" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' | while read -r module; do
	cp "$module" "$root/modules/"
	echo "insmod /modules/${module##*/}"
done > "$root/modules/load"
cat > "$root/init" <<-EOF
	#!/bin/busybox sh
	/bin/busybox --install -s /bin
	export PATH=/bin
	mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
	exec > /dev/ttyS0 2>&1
	. /modules/load
	say() { what=\$1; shift; if "\$@"; then echo "yes \$what"; else echo "no \$what"; fi; }
	is() { [ "\$(md5sum < \$1 | cut -c1-32)" = \$2 ]; }
	say rng sh -c '[ "\$(head -c 3000 /dev/hwrng | wc -c)" = 3000 ]'
	printf '\nhello\n' > /dev/hvc0 && echo "yes console"
	say ro-layers sh -c '[ \$(cat /sys/block/vdb/ro) = 1 ] && ! echo x > /dev/vdb1'
	say partitions sh -c '[ -b /dev/vdb1 ] && [ -b /dev/vdb2 ] && ! [ -b /dev/vdb3 ]'
	mkdir /mnt/a /mnt/b /mnt/p /mnt/d /mnt/s
	mount -t erofs -o ro /dev/vdb1 /mnt/a; mount -t erofs -o ro /dev/vdb2 /mnt/b
	say layers sh -c '[ "\$(cat /mnt/a/name /mnt/b/name | tr "\n" " ")" = "first second " ]'
	say layer-data is /mnt/a/data $(sum "$work/a/data")
	# The table that was made up, by the kernel's own reading of both copies.
	say table sh -c '! dmesg | grep -iE "GPT:.*(invalid|alternate|mismatch)|vdb: .*unable"'
	mount -t erofs -o ro,dax=always /dev/pmem0 /mnt/p || mount -t erofs -o ro /dev/pmem0 /mnt/p
	say pmem is /mnt/p/data $(sum "$work/a/data")
	say dax grep -q "pmem0.*dax=always" /proc/mounts
	echo 3 > /proc/sys/vm/drop_caches
	# A disk: files, barriers, discards, all of it.
	say mkfs mke2fs -q /dev/vda
	mount -t ext4 -o discard /dev/vda /mnt/d
	for i in 1 2 3 4; do dd if=/mnt/a/data of=/mnt/d/\$i bs=64k conv=fsync 2> /dev/null & done; wait
	echo 3 > /proc/sys/vm/drop_caches
	for i in 1 2 3 4; do is /mnt/d/\$i $(sum "$work/a/data") || echo "no disk-data \$i"; done; echo "yes disk-data"
	rm /mnt/d/1 /mnt/d/2 /mnt/d/3; sync; say fstrim fstrim /mnt/d
	umount /mnt/d
	say direct sh -c 'dd if=/dev/vda of=/dev/null bs=1M count=12 iflag=direct 2>/dev/null'
	say serial sh -c '[ -e /sys/block/vda/serial ]'
	# A folder of the host.
	say share mount -t virtiofs share /mnt/s
	say share-read is /mnt/s/it/data $(sum "$work/share/data")
	for i in 1 2 3 4; do cp /mnt/a/data /mnt/s/it/\$i & done; wait
	echo 3 > /proc/sys/vm/drop_caches
	for i in 1 2 3 4; do is /mnt/s/it/\$i $(sum "$work/a/data") || echo "no share-data \$i"; done; echo "yes share-data"
	mkdir /mnt/s/it/d && i=0; while [ \$i -lt 60 ]; do echo \$i > /mnt/s/it/d/\$i; i=\$((i + 1)); done
	say share-many sh -c '[ "\$(ls /mnt/s/it/d | wc -l)" = 60 ] && rm -r /mnt/s/it/d'
	echo 3 > /proc/sys/vm/drop_caches
	# Memory that is used and freed goes back by itself.
	mount -t tmpfs -o size=100m t /mnt/d && dd if=/dev/zero of=/mnt/d/x bs=1M count=80 2> /dev/null; sync
	echo "used \$(grep MemFree /proc/meminfo | tr -dc 0-9)"
	rm /mnt/d/x
	sleep 4
	echo "yes balloon"
	umount /mnt/s /mnt/p
	poweroff -f
EOF
chmod 755 "$root/init"
(cd "$root" && find . -print0 | cpio --null -o -H newc --quiet | gzip -1) > "$work/initramfs.gz"

"$HULL_BUILD/tests/vmm/vmm-start" --vmm "$HULL_BUILD/src/cmd/hull-vmm/hull-vmm" --memory 256 --cpus 2 \
	--files "$HULL_BUILD/src/cmd/hull-files/hull-files" --initramfs "$work/initramfs.gz" \
	--cmdline "console=ttyS0 panic=-1 reboot=k quiet page_reporting.page_reporting_order=4" \
	--rng --console --disk "$work/disk" --layer "$work/a.erofs" --layer "$work/b.erofs" --pmem "$work/a.erofs" \
	--balloon --share "$work/share" "$kernel/vmlinuz" > "$work/out" 2> "$work/err" &
vmm=$!
most=0 last=0
while kill -0 $vmm 2> /dev/null; do
	pid=$(pidof hull-vmm | tr ' ' '\n' | head -1)
	last_read=$(sed -n 's/^Private_Dirty: *\([0-9]*\) kB/\1/p' "/proc/$pid/smaps_rollup" 2> /dev/null)
	if [ -n "$last_read" ]; then last=$last_read; [ "$last" -le "$most" ] || most=$last; fi
	sleep 0.5
done
wait $vmm
ended=$?
tr -d '\r' < "$work/out" > "$work/text"
failed=0 n=0
check() {
	local what=$1
	shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $what"; else echo "not ok $n - $what"; failed=1; fi
}
for what in rng console ro-layers partitions layers layer-data table pmem dax mkfs disk-data fstrim direct serial share \
	share-read share-data share-many balloon; do
	check "$what" grep -q "yes $what$" "$work/text"
done
check "nothing was wrong" [ -z "$(grep '^no ' "$work/text")" ]
check "what the console said arrived" grep -q hello "$work/text"
check "the folder has it on the host" cmp -s "$work/share/2" "$work/a/data"
check "what was discarded takes no room on the host" [ "$(du -k "$work/disk" | cut -f1)" -lt 5000 ]
check "freed memory goes back: $most kB at most, $last kB at last" [ $((most - last)) -gt 40000 ]
check "the machine was powered off" [ $ended = 0 ]
check "no device took its driver for a liar" grep -q 'failures 0' "$work/err"
[ $failed = 0 ] || sed 's/^/# /' "$work/text" "$work/err" | tail -120
echo "1..$n"
exit $failed
