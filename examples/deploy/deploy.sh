#!/bin/sh
# Takes a snapshot, deploys, and goes back by itself where the deployment fails.
#
#   deploy.sh APP COMMIT -- COMMAND…
#
# BACKUP_ORCHESTRATOR_URL and BACKUP_ORCHESTRATOR_TOKEN say which server (a token with the scopes
# `run` and, to go back, `restore`). LABEL names the deployment; ROLL_BACK=no leaves going back to you.
# Exit codes: 0 deployed; 1 deployed badly and gone back; 2 wrong usage; 3 deployed badly and not gone
# back; 4 not deployed: there is no good snapshot.
set -u

if [ $# -lt 4 ] || [ "$3" != -- ]; then
    echo "usage: $0 APP COMMIT -- COMMAND…" >&2
    exit 2
fi
app=$1 commit=$2
shift 3
label=${LABEL:-deploy-$(date -u +%Y%m%d-%H%M%S)}
orchestrator=${BACKUP_ORCHESTRATOR:-backup-orchestrator}

if ! "$orchestrator" run "$app" --kind pre-deploy --git-commit "$commit" \
    --deploy-label "$label" --wait; then
    echo "not deployed: there is no good snapshot to go back to" >&2
    exit 4
fi

if "$@"; then
    echo "deployed $commit as $label"
    exit 0
fi
echo "the deployment failed" >&2
if [ "${ROLL_BACK:-yes}" = no ]; then
    echo "go back with: $orchestrator restore $app --before-deploy $label --confirm $app --wait" >&2
    exit 3
fi
if "$orchestrator" restore "$app" --before-deploy "$label" --confirm "$app" --wait; then
    echo "gone back to before $label" >&2
    exit 1
fi
echo "could not go back: look at the run above" >&2
exit 3
