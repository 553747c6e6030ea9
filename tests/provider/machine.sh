# A host of its own for the provider's tests: sshd with empty folders where pollex writes, and a /run that looks like
# systemd's.
#
# Runs in a mount namespace (`unshare --mount sh machine.sh CONFIG`), so nothing of it is seen or left outside.
set -eu
mount -t tmpfs -o size=64m,mode=755 tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
mkdir -p /run/systemd/system /run/sshd
exec /usr/sbin/sshd -D -e -f "$1"
