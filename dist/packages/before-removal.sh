#!/bin/sh
# Before the files go for good (dpkg says "remove", rpm that none is left): the service stops, and so do gateways, which
# stopping their supervisor alone would leave. The data in /var/lib/tongguan stay, and so does the configuration.
set -e
case "$1" in
remove | 0)
    if [ -d /run/systemd/system ]; then
        systemctl disable --now tongguan.service || true
        systemctl disable tongguan-supervisor.service || true
        if systemctl --quiet is-active tongguan-supervisor.service; then
            systemctl kill --kill-whom=all --signal=SIGKILL tongguan-supervisor.service || true
            systemctl stop tongguan-supervisor.service || true
        fi
    fi
    ;;
esac
