# SPDX-License-Identifier: Apache-2.0
# Build a guest's kernel: sh build.sh ARCH TARGET SOURCE JOBS CONFIG...
# In the current folder, with its patches (ARCH-*.patch): the tree goes to tree/, objects to obj/, and what is wanted
# to out/ (kernel, config, release). Lines that begin with "== " are for the user.
set -eu
arch=$1 target=$2 source=$3 jobs=$4
shift 4
here=$PWD

for tool in make gcc flex bison bc xz tar patch; do
	command -v "$tool" >/dev/null || missing="${missing-} $tool"
done
for header in gelf.h openssl/opensslv.h; do
	echo "#include <$header>" | gcc -E -x c - >/dev/null 2>&1 || missing="${missing-} $header"
done
if [ -n "${missing-}" ]; then
	echo "== missing:$missing"
	exit 90
fi

echo "== unpacking $(basename "$source")"
mkdir tree obj out
tar -xf "$source" -C tree --strip-components=1

# One driver reaches getaddrinfo(), which glibc does not like to link statically:
# hull hands it descriptors, so that it is never called, and a static kernel needs
# no libraries in its jail.
if [ "$arch" = um ]; then
	sed -i '/^config UML_NET_VECTOR/,/help/{/MAY_HAVE_RUNTIME_DEPS/d}' tree/arch/um/drivers/Kconfig
	for patch in um-*.patch; do
		if patch -d tree -p1 -s --dry-run <"$patch"; then
			patch -d tree -p1 -s <"$patch"
		else
			echo "== $patch is not of this source: built without"
		fi
	done
fi

echo "== configuring"
make -s -C tree ARCH="$arch" O="$here/obj" tinyconfig
ARCH="$arch" tree/scripts/kconfig/merge_config.sh -m -O obj obj/.config "$@"
make -s -C tree ARCH="$arch" O="$here/obj" olddefconfig
# An option that the source does not know, or whose needs are missing, would
# otherwise vanish without a word.
for fragment in "$@"; do
	grep '^CONFIG_.*=[ym"]' "$fragment" | while read -r line; do
		grep -qxF "$line" obj/.config || echo "== not in this kernel: $line"
	done
done

echo "== compiling, about ten minutes of processor time"
make -s -C tree ARCH="$arch" O="$here/obj" CC="${CC:-gcc}" HOSTCC="${CC:-gcc}" -j"$jobs" "$target"
case $target in
bzImage) cp obj/arch/x86/boot/bzImage out/kernel ;;
*) cp "obj/$target" out/kernel && strip out/kernel ;;
esac
cp obj/.config out/config
cp obj/include/config/kernel.release out/release
