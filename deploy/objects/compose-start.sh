#!/bin/sh
# Starts the object store with its administrator's key pair, read from files: anyone who may inspect containers could
# read a password in the compose file or in the container's environment.
set -eu
keys=/run/fmn/secrets
kind=admin
# Secrets made for the demo include a second pair, for a store without accounts, which the document service knows too.
# MinIO, by either of its names, has accounts and never gets it.
if [ -e "$keys/shared-s3-secret-key" ] && ! command -v silo >/dev/null && ! command -v minio >/dev/null; then
  echo "This object store has no accounts: it starts with one key, the document service's." >&2
  kind=shared
fi
MINIO_ROOT_USER=$(cat "$keys/$kind-s3-access-key")
MINIO_ROOT_PASSWORD=$(cat "$keys/$kind-s3-secret-key")
export MINIO_ROOT_USER MINIO_ROOT_PASSWORD
exec docker-entrypoint.sh "$@"
