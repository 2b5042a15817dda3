#!/bin/sh
# After the files are in place: the user, the unit, and a restart if it was running.
set -e
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers tongguan.conf
elif ! getent passwd tongguan >/dev/null; then
    groupadd --system tongguan
    useradd --system --gid tongguan --home-dir /var/lib/tongguan --no-create-home --shell /usr/sbin/nologin tongguan
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # Gateways go on while their supervisor starts again.
    systemctl try-restart tongguan-supervisor.service tongguan.service || true
fi
