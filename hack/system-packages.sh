#!/usr/bin/env bash
# Installs the Debian packages that the sandbox needs, and those that it is named, if they are missing. Without root it
# says what is missing and goes on: the sandbox then runs with guests that are only disks.
set -euo pipefail
packages=(qemu-system-x86 qemu-utils busybox-static cpio xz-utils lz4 sqlite3 e2fsprogs util-linux "$@")
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Missing system packages: ${missing[*]}. Install them as root, for real guests or what else you asked for." >&2
  exit 0
fi
echo "Installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
