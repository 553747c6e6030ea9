#!/bin/sh
# unpack.sh ARCHITECTURE — Python, the service's dependencies and the service, for that architecture, below /out.
set -eu

case $1 in
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*)
    echo "image: linux/$1 is not a platform of the polish service: linux/amd64 and linux/arm64 are" >&2
    exit 2
    ;;
esac

# what Python and the wheels load; no readline, no database, no shell
packages='libbz2-1.0 libc6 libcrypt1 libexpat1 libffi8 libgcc-s1 liblzma5 libpython3.11-minimal libpython3.11-stdlib
    libssl3 python3.11-minimal zlib1g'

export DEBIAN_FRONTEND=noninteractive
dpkg --add-architecture "$1"
apt-get update -q
apt-get install -q -y --no-install-recommends python3-pip

mkdir -p /out
install -d -o _apt /tmp/packages
cd /tmp/packages
for package in $packages; do
    apt-get download -q "$package:$1"
done
for file in *.deb; do
    dpkg-deb --extract "$file" /out
done
# licences stay
find /out/usr/share -mindepth 1 -maxdepth 1 ! -name doc -exec rm -r {} +
find /out/usr/share/doc -type f ! -name copyright -delete

certificates=/run/secrets/certificates
[ ! -f $certificates ] || export PIP_CERT=$certificates
python3 -m pip install --quiet --root-user-action=ignore --no-compile --require-hashes --only-binary=:all: \
    --python-version 3.11 --implementation cp \
    --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" --platform "manylinux_2_28_$machine" \
    --target /out/opt/pollex --requirement /service.txt
rm -rf /out/opt/pollex/bin
cp -R /pollex /out/opt/pollex/pollex
find /out/opt/pollex -name __pycache__ -prune -exec rm -r {} +

# Compiled once, here, because the root file system is read-only there; checked by nothing, because nothing changes.
PYTHONHASHSEED=0 python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /out \
    /out/opt/pollex /out/usr/lib/python3.11
