# Asked for, and not to be done now.
fact-not_there = There is no { $what } `{ $name }`.
fact-name_is_taken = There is a { $what } called `{ $name }` already: choose another name.
fact-changed_by_other = `{ $name }` was changed by somebody else meanwhile: look at it again, then repeat the change.
fact-is_used = `{ $name }` is used by { $by }.
fact-used_by_run = a run under way: wait for its end or cancel it
fact-used_by_app = the app `{ $app }`
fact-used_by_route = the route `{ $route }`
fact-used_by_deletion = the deletion that has begun
fact-last_admin = `{ $name }` is the last admin: make another user an admin first.
fact-identity_is_taken = This login of the other service is linked with `{ $by }` already: unlink it there first.
fact-declared_in_file = `{ $name }` is declared in backups.yml: change it there, the server reads it again.
fact-declared_by_labels = `{ $name }` is declared by labels on a container: change them there.
fact-queued_already = The run is queued already.
fact-run_works_there = Run { $run } works with `{ $destination }`: wait for its end or cancel it, then { $wanted }.
fact-may_be_removed = it can be removed
fact-may_be_changed = its settings can be changed
fact-may_be_unlocked = its locks can be removed
fact-never_recovered_over = There are apps or destinations here, which a recovery would replace: recover on an empty server, or run `backup-orchestrator bootstrap ADDRESS --force`.
fact-not_looked_at = Nothing was looked at by that word, or something else since: look again.
# Messages that were not taken.
fact-channel_off = The channel is disabled.
fact-channel_gone = The channel was removed.
fact-place_refused = { $place } is refused: { $why }
fact-place_unreachable = { $place } cannot be reached: { $why }
fact-place_late = { $place } did not answer within { $seconds } s.
fact-place_throttles = { $place } wants fewer messages; it is tried again later.
fact-place_troubled = { $place } answered { $status }: it has trouble of its own, and is tried again later.
fact-place_takes_none = { $place } does not take it: { $why }
fact-place_postpones = { $place } does not take it now: { $why }
fact-place_odd = { $place } answered { $status }, but not as { $kind } does; check the address.
# Restores and snapshots.
fact-confirm_replaced = { $what } would be replaced: give the app's name `{ $app }` to confirm it.
fact-confirm_go_back = What `{ $app }` has now would be replaced: give the app's name `{ $app }` to confirm it.
fact-base_alone = This is a base backup: choose a moment that it leads to (`restore APP --at TIME`).
fact-no_good_to_try = `{ $app }` has no good snapshot to try: back it up first.
fact-no_good_copy_of = Snapshot { $snapshot } has no good copy.
fact-no_good_copy_there = Snapshot { $snapshot } has no good copy at that destination.
fact-handed_out_other = What was handed out before the damage was found is not what the other copy holds: read it again.
fact-index_not_made = The index was not made: ask again.
fact-index_gone = The index was just removed: ask again.
# WAL.
fact-no_wal_archive = `{ $app }` has no archive of WAL: say so in its settings first.
fact-wal_else_now = { $file } is in the archive of WAL with other content ({ $there } there, { $now } now): nothing is overwritten; two servers may be writing into one archive, or one was restored without a new timeline.
fact-point_is_there = `{ $app }` has a restore point `{ $name }`: give another name.
# Destinations.
fact-nothing_deleted_there = `{ $destination }` is append-only: nothing is deleted there.
fact-key_stays_there = `{ $destination }` is append-only: its old key cannot be removed; add a key, and enter its password in the destination's settings.
fact-key_in_use = This is the password in use: enter another one in the destination's settings first.
fact-not_repository = `{ $destination }` is no repository: only destinations with `layout` = `repository` are.
fact-changed_meanwhile = `{ $destination }` was changed meanwhile: look at it, and try again.
fact-no_google_drive = `{ $destination }` is no Google Drive.
fact-no_google_client = Enter the OAuth client's ID and secret first, and save.
fact-google_address = BACKUP_GOOGLE_AUTH_URL: { $why }
fact-google_for_a_moment = Google gave no lasting token: remove this client's access at https://myaccount.google.com/connections and connect again.
fact-google_unreachable = Google could not be asked for the token: { $why }
fact-google_too_long = Google's answer is too long.
fact-google_unclear = Google's answer ({ $status }) is not what it should be.
fact-google_refused = Google refused ({ $said }): check client ID, client secret and the redirect address, then connect again.
