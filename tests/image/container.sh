#!/bin/sh
# container.sh ROOT ro|rw COMMAND… — runs a command as a container runs an image: another user, a read-only root, only
# its own processes, and a volume at /models. To be started by `unshare --mount --pid --fork`.
set -eu

root=$1
volume=$2
shift 2
mount --bind "$root" "$root"
mount --bind "$root/models" "$root/models"
mount -t proc proc "$root/proc"
mount -o "remount,bind,$volume" "$root/models"
mount -o remount,bind,ro "$root"
exec chroot --userspec=65532:65532 --groups=65532 "$root" "$@"
