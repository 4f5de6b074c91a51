#!/bin/sh
# Makes the secrets that compose.yaml reads, once: a file that is there is left as it is.
#   sh deploy/compose/make-secrets.sh [DIRECTORY]
set -eu
directory=${1:-"$(dirname "$0")/secrets"}
mkdir -p "$directory"
# Others on this host cannot enter the directory; the files are readable, because the containers that get them
# run as different users.
chmod 700 "$directory"
umask 022

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME VALUE
  if [ ! -e "$directory/$1" ]; then
    printf '%s\n' "$2" > "$directory/$1"
    echo "made $directory/$1"
  fi
}

keep secret_key "$(random)"
keep pepper "$(random)"
keep node_secret "$(random)"
keep metrics_token "$(random)"
keep agent_token "$(random)"
keep grafana_password "$(random)"

keep postgres_password "$(random)"
keep database_url "postgresql://bridge:$(cat "$directory/postgres_password")@postgres:5432/bridge"

keep valkey_password "requirepass $(random)"
password=$(sed -n 's/^requirepass //p' "$directory/valkey_password")
keep redis_url "redis://:$password@valkey:6379/0"
