# A purge asks whether the data go as well. Where nobody can be asked (DEBIAN_FRONTEND=noninteractive, no debconf), they stay.
if [ "$1" = purge ]; then
    remove=false
    if [ -d /var/lib/tongguan ] && [ -e /usr/share/debconf/confmodule ]; then
        . /usr/share/debconf/confmodule
        db_fset tongguan/remove-data seen false || true
        db_input critical tongguan/remove-data || true
        db_go || true
        if db_get tongguan/remove-data; then remove=$RET; fi
        db_purge
    fi
    if [ "$remove" = true ]; then
        rm -rf /var/lib/tongguan
    elif [ -d /var/lib/tongguan ]; then
        echo "/var/lib/tongguan is kept: it holds the data and the master key" >&2
    fi
fi
