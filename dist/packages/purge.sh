# A purge asks whether the data and audit logs go as well. Where nobody can be asked (DEBIAN_FRONTEND=noninteractive, no
# debconf), they stay.
if [ "$1" = purge ]; then
    remove=false
    kept=
    for folder in /var/lib/tongguan /var/log/tongguan; do
        if [ -d "$folder" ]; then kept="$kept $folder"; fi
    done
    if [ -n "$kept" ] && [ -e /usr/share/debconf/confmodule ]; then
        . /usr/share/debconf/confmodule
        db_fset tongguan/remove-data seen false || true
        db_input critical tongguan/remove-data || true
        db_go || true
        if db_get tongguan/remove-data; then remove=$RET; fi
        db_purge
    fi
    if [ "$remove" = true ]; then
        rm -rf /var/lib/tongguan /var/log/tongguan
    elif [ -n "$kept" ]; then
        echo "kept, with the data, the master key and audit logs:$kept" >&2
    fi
fi
