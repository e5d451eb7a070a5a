# shellcheck shell=bash
# What the machine has to give. Sourced after env.sh.

# available_memory: the memory that programs can still take, in MB: what the kernel estimates, or what the limits of the
# control groups leave, where that is less (a container; pages of files can be given back and do not count).
available_memory() {
    local least limit used group
    least=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
    while [[ $group = /sys/fs/cgroup* ]]; do
        if read -r limit 2>/dev/null <"$group/memory.max" && [ "$limit" != max ]; then
            used=$(awk 'NR == 1 { used = $1 } /^(in)?active_file / { used -= $2 } END { print used }' "$group"/memory.{current,stat})
            limit=$(((limit - used) / 1048576))
            [ "$limit" -ge "$least" ] || least=$limit
        fi
        group=${group%/*}
    done
    printf '%s' "$least"
}

# need_memory MB WHAT NEXT-STEP: stops if less memory can be had.
need_memory() {
    local available
    available=$(available_memory)
    [ "$available" -ge "$1" ] || die 3 "$2 needs $1 MB of memory, and $available MB can be had" "$3"
}

# need_room FOLDER MB WHAT: stops if the disk of FOLDER has less room.
need_room() {
    local room
    mkdir -p "$1"
    room=$(($(df --output=avail -k "$1" | tail -n 1) / 1024))
    [ "$room" -ge "$2" ] || die 3 "$3 needs $2 MB of room in $1, and there are $room MB" \
        "make room, or name a folder on another disk: export LAKEHOUSE_CACHE=DIR"
}
