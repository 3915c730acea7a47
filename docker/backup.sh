#!/bin/sh
# Runs every enabled app now and waits: docker exec backup-orchestrator /backup.sh
exec backup-orchestrator run --all --wait "$@"
