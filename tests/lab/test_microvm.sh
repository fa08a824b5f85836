#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Workloads in virtual machines, with Debian's own kernel unmodified, through the
# command line. One lab for all: a machine in a machine is slow.
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" != inside ]; then
	exec "$here/run" --timeout 560 -- "$0" inside
fi
failed=0 n=0
check() {
	local what=$1
	shift
	n=$((n + 1))
	if "$@" > /dev/null; then echo "ok $n - $what"; else echo "not ok $n - $what"; failed=1; fi
}
vm() { hull run --network none --isolation=microvm "$@"; }

hull doctor | grep -q '^ok *microvm' && found=yes || found=no
check "the probe guest passes on a real KVM" [ $found = yes ]

vm --name one -d demo sh -c 'trap "exit 7" TERM; uname -v; echo to-stderr >&2; while :; do sleep 0.1; done' > /dev/null
check "it has a kernel of its own" grep -q inside <(hull exec one sh -c '[ "$(cat /proc/sys/kernel/random/boot_id)" != '"$(cat /proc/sys/kernel/random/boot_id)"' ] && echo inside')
check "its output is logged" grep -q SMP <(hull logs one 2> /dev/null)
check "and its errors" grep -q to-stderr <(hull logs one 2>&1 > /dev/null)
check "input comes through" grep -qx 'a b c' <(echo 'a b c' | hull exec -i one cat)
big=$(hull exec one sh -c 'dd if=/dev/zero bs=1M count=8 2> /dev/null' | wc -c)
check "all of a large output" [ "$big" = 8388608 ]
hull exec one sh -c 'exit 3'
check "the status of exec" [ $? = 3 ]
vmm=$(pidof hull-vmm)
check "the monitor runs as the container's user, without privileges" grep -qE '^CapEff:\s+0+$' "/proc/$vmm/status"
check "and sees no file" [ -z "$(ls "/proc/$vmm/root")" ]
hull pause one > /dev/null
check "it pauses" grep -q Paused <(hull ps)
hull unpause one > /dev/null
hull stop -t 30 one > /dev/null
check "it hears the signal to stop" [ "$(hull inspect -f '{{.State.ExitCode}}' one)" = 7 ]
check "the machine is gone" [ -z "$(pidof hull-vmm)" ]
hull rm one > /dev/null

vm --rm --memory 96m --cpus 1.5 demo sh -c 'echo $(($(sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo) / 1024)); exit 4' > /tmp/out
check "the workload's status" [ $? = 4 ]
check "its machine has no more than it needs" [ "$(cat /tmp/out)" -lt 520 ]

hull run -d --name two --network none --isolation=microvm demo sleep 1000 > /dev/null
kill -9 "$(pidof hull-vmm)"
for _ in $(seq 100); do [ "$(hull inspect -f '{{.State.Status}}' two)" = exited ] && break; sleep 0.1; done
check "a killed machine is a killed workload" [ "$(hull inspect -f '{{.State.ExitCode}}' two)" = 137 ]
hull rm two > /dev/null

mkdir -p /tmp/shared; echo from-host > /tmp/shared/file
hull run -d --name vol --network none --isolation=microvm -v data:/data -v /tmp/shared:/shared:ro demo sleep 1000 > /dev/null
check "it sees a folder of the host" grep -qx from-host <(hull exec vol cat /shared/file)
hull exec vol sh -c 'echo no > /shared/file' 2> /dev/null
check "that it may not write" grep -qx from-host /tmp/shared/file
hull exec vol sh -c 'echo from-vm > /data/x && chown 5:6 /data/x && ln -s x /data/y'
check "a container sees in a volume what it wrote" grep -qx '5:6 from-vm' <(hull run --rm --network none -v data:/data demo sh -c 'echo $(stat -c %u:%g /data/x) $(cat /data/y)')
hull run --rm --network none -v data:/data demo sh -c 'echo from-container > /data/z'
check "and it what a container wrote" grep -qx from-container <(hull exec vol cat /data/z)
hull exec vol sh -c 'echo changed > /etc/motd'
hull stop -t 1 vol > /dev/null
check "its changes are there once it has ended" grep -qx 'A /etc/motd' <(hull diff vol)
hull rm -v vol > /dev/null

# Limits that change while it runs: memory goes back to the host, by the balloon and by
# what the guest frees; processors come.
used() { awk '/^Rss/ { print int($2 / 1024) }' "/proc/$(pidof hull-vmm)/smaps_rollup"; }
within() { for _ in $(seq 150); do "$@" && return; sleep 0.2; done; return 1; }
is_below() { [ "$(used)" -lt "$1" ]; }
free_inside() { hull exec big sed -n 's/MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo; }
has_free_below() { [ "$(free_inside)" -lt "$1" ]; }
hull run -d --name big --network none --isolation=microvm -m 400m --cpus 1 --shm-size 200m demo sleep 1000 > /dev/null
hull exec big dd if=/dev/zero of=/dev/shm/x bs=1M count=150 2> /dev/null
before=$(used)
check "it uses the host's memory as it needs it" [ "$before" -gt 180 ]
hull exec big rm /dev/shm/x
check "memory that is freed inside goes back to the host" within is_below $((before - 100))
hull update -m 64m --memory-swap 128m big > /dev/null
check "update leaves it no more than the new limit, and its kernel's" within has_free_below 170000
check "inside, its limit is the new one" [ "$(hull exec big cat /sys/fs/cgroup/memory.max)" = $((64 << 20)) ]
hull update -m 300m --memory-swap 600m big > /dev/null
check "and gives it back" hull exec big dd if=/dev/zero of=/dev/null bs=200M count=1
hull update -m 2g --memory-swap 4g big 2> /tmp/refused
check "more than the machine has is refused" grep -q 'which it was started with' /tmp/refused
check "one processor" [ "$(hull exec big nproc)" = 1 ]
hull update --cpus 2 big > /dev/null
check "two, since it may use two" [ "$(hull exec big nproc)" = 2 ]
# By the clock only from below: no machine makes a limit faster.
SECONDS=0
hull run --rm --network none --isolation=microvm -v bulk:/bulk --device-write-bps /dev/vda:2mb demo dd if=/dev/zero of=/bulk/x bs=1M count=8 conv=fsync 2> /dev/null
check "a device's limit holds for volumes" [ "$SECONDS" -ge 3 ]
hull rm -f big > /dev/null
hull volume rm bulk > /dev/null

# How it ends.
hull run --name oom --network none --isolation=microvm -m 64m demo dd if=/dev/zero of=/dev/null bs=300M count=1 2> /dev/null
check "who wants more than its limit is killed" [ $? = 137 ]
check "for memory" [ "$(hull inspect -f '{{.State.OOMKilled}}' oom)" = true ]
hull run --name panic --network none --isolation=microvm --privileged -m 64m demo sh -c 'echo 2 > /proc/sys/vm/panic_on_oom; dd if=/dev/zero of=/dev/null bs=300M count=1; sleep 60' 2> /tmp/said
check "a kernel that panics is no exit of the workload's" [ $? = 255 ]
check "and says why" grep -q 'the guest.s kernel panicked: it said: .*panic_on_oom' /tmp/said
hull run --name reset --network none --isolation=microvm --privileged demo sh -c '[ -e /proc/sysrq-trigger ] || exit 77; echo b > /proc/sysrq-trigger; sleep 60' 2> /tmp/said
if [ $? = 77 ]; then
	n=$((n + 1))
	echo "ok $n - nor is a reset # SKIP hull's own kernel has no sysrq, by which a workload could do that"
else
	check "nor is a reset, which is told apart" grep -q 'reset its machine' /tmp/said
fi
hull rm oom panic reset > /dev/null

hull run -d --name web --isolation=microvm -p 8080:80 demo httpd -f -p 80 -h /bin > /dev/null
check "the host reaches its published port" [ "$(wget -qO- -T 20 http://127.0.0.1:8080/busybox | md5sum)" = "$(md5sum < /bin/busybox)" ]
address=$(hull inspect -f '{{.NetworkSettings.IPAddress}}' web)
size=$(stat -c %s /bin/busybox)
get='printf "GET /busybox HTTP/1.0\r\n\r\n" | nc -w 20 $1 80 | wc -c'
check "a container reaches it, all of a large file" [ "$(hull run --rm demo sh -c "$get" sh "$address")" -gt "$size" ]
hull run -d --name files demo httpd -f -p 80 -h /bin > /dev/null
other=$(hull inspect -f '{{.NetworkSettings.IPAddress}}' files)
check "it reaches a container" [ "$(hull exec web sh -c "$get" sh "$other")" -gt "$size" ]
check "and the host's gateway" hull exec web ping -q -c 1 -W 5 172.17.0.1
# Networks that come and go while it runs.
hull network create front > /dev/null
hull network create back > /dev/null
hull run -d --name api --network front demo httpd -f -p 80 -h /bin > /dev/null
hull network connect --alias shop front web
check "a network that it is connected to while it runs has names" [ "$(hull exec web sh -c 'printf "GET /busybox HTTP/1.0\r\n\r\n" | nc -w 20 api 80 | wc -c')" -gt "$size" ]
check "and others find it there" hull exec api ping -q -c 1 -W 5 shop
hull network connect --ip 10.77.0.9 back web 2> /dev/null
check "an address of no subnet is refused, and leaves nothing" [ "$(hull exec web sh -c 'ls /sys/class/net | wc -l')" = 3 ]
hull pause web > /dev/null
hull network create n1 > /dev/null && hull network connect n1 web
check "a guest that stands still gets a network, and goes on standing still" [ "$(hull inspect -f '{{.State.Status}}' web)" = paused ]
hull unpause web > /dev/null
for i in 2 3; do hull network create "n$i" > /dev/null && hull network connect "n$i" web; done
check "four networks more than at its start" [ "$(hull exec web sh -c 'ls /sys/class/net | wc -l')" = 6 ]
hull network connect back web 2> /tmp/refused
check "a fifth is refused" grep -q 'no room for another network' /tmp/refused
hull network disconnect front web
hull network disconnect bridge web
check "what it is disconnected from is gone inside" [ "$(hull exec web sh -c 'ls /sys/class/net | wc -l')" = 4 ]
check "its name there, too" [ "$(hull exec api sh -c 'ping -q -c 1 -W 5 shop' 2>&1 | grep -c 'bad address')" = 1 ]
check "its way out leads by another" [ "$(hull exec web sh -c 'ip route | grep -c ^default')" = 1 ]
hull network connect front web
check "there is room again" hull exec api ping -q -c 1 -W 5 web
hull rm -f web files api > /dev/null
hull run -d --name slow --isolation=microvm --network-rate out=4mbit demo httpd -f -p 80 -h /bin > /dev/null
SECONDS=0
check "a rate of its network holds" [ "$(wget -qO- -T 60 "http://$(hull inspect -f '{{.NetworkSettings.IPAddress}}' slow)/busybox" | wc -c)" = "$size" ]
check "for what it sends" [ "$SECONDS" -ge 3 ]
hull rm -f slow > /dev/null
for _ in $(seq 50); do [ -z "$(ip -br link show type tun)" ] && break; sleep 0.1; done
check "its tap is gone" [ -z "$(ip -br link show type tun)" ]
echo "1..$n"
exit $failed
