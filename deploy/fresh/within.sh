# Sourced by board.sh and desk.sh.
within() { # SECONDS COMMAND …: fails where it does not come true by then
    local until=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        if [ $SECONDS -gt $until ]; then
            echo "error: this did not come true: $*"
            journalctl --no-pager -n 60 -u 'sono-*'
            exit 1
        fi
        sleep 0.5
    done
}
