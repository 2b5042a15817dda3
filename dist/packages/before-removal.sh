#!/bin/sh
# Before the files go for good (dpkg says "remove", rpm that none is left): the service stops. The data in
# /var/lib/tongguan stay, and so does the configuration.
set -e
case "$1" in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now tongguan.service || true
    fi
    ;;
esac
