#!/bin/busybox sh
# shellcheck shell=dash
# The guest's first process: gets at the host's files, runs one command there, tells its exit status, and switches off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
while read -r module; do
  insmod "/modules/$module" || echo "testbed: $module was not loaded"
done </modules/order

# The host's root, which nothing here can change, and above it a tmpfs that takes what is written.
mkdir -p /host /overlay /machine
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host
mount -t tmpfs tmpfs /overlay
mkdir /overlay/upper /overlay/work
mount -t overlay -o lowerdir=/host,upperdir=/overlay/upper,workdir=/overlay/work overlay /machine
mount -t proc proc /machine/proc
mount -t sysfs sysfs /machine/sys
mount -t devtmpfs dev /machine/dev
mount -t debugfs debugfs /machine/sys/kernel/debug
mount -t tmpfs tmpfs /machine/run
mkdir -p /machine/dev/shm
mount -t tmpfs tmpfs /machine/dev/shm
mount -t tmpfs tmpfs /machine/mnt

# Ports come up one by one, and devtmpfs gives them numbers, not names.
port() { # NAME
  while :; do
    for entry in /sys/class/virtio-ports/*; do
      if [ "$(cat "$entry/name" 2>/dev/null)" = "$1" ]; then
        echo "/dev/${entry##*/}"
        return
      fi
    done
    sleep 0.1
  done
}
out=$(port out) err=$(port err)
exec 3>"$(port control)"

# Only one process may have a port open, whereas scripts open /dev/stderr at will: so there are pipes in front of them.
mkfifo /pipe-out /pipe-err
cat /pipe-out >"$out" &
cats=$!
cat /pipe-err >"$err" 3>&- &
cats="$cats $!"

echo started >&3
# The job is `set -- FOLDER PROGRAM ARGUMENT…`, quoted.
# shellcheck source=/dev/null
. /job
# shellcheck disable=SC2016 # expanded by the shell inside
setsid chroot /machine /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  LANG=C.UTF-8 VMEMMAP_GUEST=1 /bin/sh -c 'cd "$0" && exec "$@"' "$@" </dev/null >/pipe-out 2>/pipe-err 3>&-
status=$?

# Whatever the script has left behind would keep the pipes open. Processes of the kernel have no program.
for process in /proc/[0-9]*; do
  pid=${process##*/}
  case " 1 $cats " in *" $pid "*) continue ;; esac
  if readlink "$process/exe" >/dev/null; then kill -9 "$pid"; fi
done
# A write to a port returns when the host has it: behind this nothing is lost.
# shellcheck disable=SC2086 # two words
wait $cats
echo "status $status" >&3
# Writes back what is in mounted file systems, too.
poweroff -f
