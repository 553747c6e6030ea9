#!/bin/sh
# forward.sh BOARD... — hold a forward to each board's llama-server, begun again whenever it ends.
# The service stays active while boards come and go, so that one that is gone is no trouble of the gateway's.
# By hand, for one of them: ssh -F /etc/pollex/boards.conf -N BOARD
set -u
hold() {
    while :; do
        ssh -F /etc/pollex/boards.conf -N "$1"
        sleep 1
    done
}
for board; do
    hold "$board" &
done
wait
