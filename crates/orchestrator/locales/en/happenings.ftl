# What happens.
fact-worker_gone = The worker of this run went away (the orchestrator was stopped or killed, or the machine was).
fact-run_done = The run succeeded.
fact-cancelled_before = Cancelled before it began.
fact-at = { $place }: { $why }
fact-whole_but = The snapshot is whole, but: { $why }
fact-unlike_before = The snapshot of `{ $app }` is of { $size }, far from what the ones before it had; nothing is expired for this app until a normal one follows or somebody accepts it.
fact-expired_at = { $count ->
    [one] 1 snapshot of `{ $app }` expired at `{ $destination }`.
   *[other] { $count } snapshots of `{ $app }` expired at `{ $destination }`.
  }
fact-uploads_swept = { $count ->
    [one] 1 unfinished upload was removed from `{ $destination }`.
   *[other] { $count } unfinished uploads were removed from `{ $destination }`.
  }
fact-came_into_app = `{ $app }` of { $at } was restored into the app.
fact-came_beside = `{ $app }` of { $at } was restored beside it, as `{ $name }`.
fact-came_into_folder = `{ $app }` of { $at } was restored into { $path }.
fact-fires_missed = { $count ->
    [one] 1 of the times at which `{ $app }` should have run passed while nothing ran.
   *[other] { $count } of the times at which `{ $app }` should have run passed while nothing ran.
  }
fact-served_in_future = A schedule was served in the future.
fact-clock_back = The clock went back by { $minutes } min.
fact-clock_forward = The clock went forward by { $minutes } min.
fact-clock_back_since = The clock went back by { $minutes } min since an orchestrator last ran: it was changed, or nothing ran.
fact-clock_forward_since = The clock went forward by { $minutes } min since an orchestrator last ran: it was changed, or nothing ran.
fact-labels_not_followed = Labels of container `{ $container }` are not followed: { $why }
fact-labels_wrong = Labels of container `{ $container }`: { $why }
fact-uncovered = Not in any app: { $what }.
fact-uncovered_more = Not in any app: { $what } and { $more } more.
fact-no_copies_at = Destinations without a copy: { $failed } of { $places }. { $why }

# Retention.
fact-kept_append_only = The destination is append-only: nothing expires there. Clear it by a rule of the storage.
fact-kept_last_failed = The last run failed: nothing expires until one succeeds.
fact-kept_anomalous = The newest snapshot looks unlike the ones before it: nothing expires until a normal one follows or somebody accepts it.
fact-kept_last = The plan would leave no snapshot at all: nothing expires.
fact-kept_clock = The clock moved by more than a day: nothing expires for a day, or until somebody says that the time is right.
fact-kept_recovered = The catalog was rebuilt: nothing expires until somebody confirms that it is as it should be.

# The catalog, and the way back to it.
fact-catalog_rebuilt = The catalog was rebuilt from { $from }; schedules and retention wait until somebody confirms it (`recovery confirm`).
fact-catalog_rebuilt_here = The catalog was rebuilt from { $from }; retention waits until somebody confirms it (`recovery confirm`).
fact-manifests_alone = manifests alone
fact-copy_and_manifests = the copy of { $at } and the manifests at its destination
fact-kit_due = Nobody has stored the recovery kit as it is now: print it (`recovery-kit`) and keep it away from this machine; without it the copies of the catalog cannot be opened.
fact-catalog_not_copied = The catalog could not be copied: { $why }
fact-catalog_copy_gone = The copy of the catalog is not there: { $why }
fact-manifests_read = Manifests of `{ $destination }` that were read: { $manifests }; new snapshots: { $snapshots }, new copies: { $copies }, missing: { $missing }, damaged: { $damaged }, problems: { $problems }.
fact-copy_alone = the copy of { $at }

# Passwords of repositories.
fact-rotation_old = The change of the password of `{ $destination }` was cut off before it was in force: the password of before is the one in use, and the new one opens nothing; change it again.
fact-rotation_new = The change of the password of `{ $destination }` was cut off after it was in force: the new password is the one in use, and the one of before opens nothing any more; whoever did not see the new one changes it again.
fact-rotation_neither = The change of the password of `{ $destination }` was cut off, and another password was entered since: look at the repository's keys, and remove those that nobody needs.

# What is declared in `backups.yml`.
fact-declared = { $file }: { $what }
fact-declared_added = added: { $names }.
fact-declared_changed = changed: { $names }.
fact-declared_no_more = no longer declared (apps are disabled, their snapshots stay): { $names }.
fact-declared_stays = What was declared before stays in force. { $why }
fact-declared_waits = { $file } waits: { $why }

# What a run owes.
fact-after_run = After a run: { $why }
fact-restore_left = A restore was cut off again and again and has left { $what }: look at it, and remove or start it.
fact-stays_owed = { $what }: { $why }. { $remedy } It is tried again, at the latest every { $minutes } minutes.
fact-stopped_stays = Container { $container } was stopped for a run and cannot be started
fact-paused_stays = Container { $container } was paused for a run and cannot go on
fact-helper_stays = Container { $container }, made to read a volume, cannot be removed
fact-scratch_stays = Container { $container }, made for a drill, cannot be removed
fact-network_stays = The network { $network }, made for a drill, cannot be removed
fact-volume_stays = The volume { $volume }, made for a drill, cannot be removed
fact-exec_stays = A command of ours in container { $container } cannot be ended ({ $marker })
fact-post_not_run = `{ $command }`, asked for by `backup.exec-post`, cannot be run in container { $container }
fact-hook_not_run = `{ $command }`, asked for by `quiesce.post`, cannot be run
fact-hook_not_run_in = `{ $command }`, asked for by `quiesce.post`, cannot be run in container { $container }
fact-snapshot_stays = The snapshot { $name } cannot be removed
fact-databases_closed = The databases { $names } may be closed to everybody since a restore
fact-folder_stays = The folder { $path } cannot be removed
fact-do_start = Remove what is in its way and `{ $command }`, or remove it.
fact-do_go_on = Try `{ $command }` or `{ $other }`.
fact-do_remove = Remove it: `{ $command }`.
fact-do_look = Look at `{ $command }`, or restart the container.
fact-do_start_only = Start the container (`{ $command }`), or remove it.
fact-do_unmount = Unmount { $mount }, then `{ $command }`.
fact-do_open = Open those that are there: `ALTER DATABASE … ALLOW_CONNECTIONS true`.
fact-do_run_by_hand = Run it yourself, or correct the app.
fact-do_remove_by_hand = Remove it.

# Archives of WAL.
fact-wal_lost = { $count } pieces of the WAL of `{ $app }` are damaged or gone, { $name } first: moments that need them cannot be restored; a new base backup is taken where one is needed.
fact-wal_other = WAL of `{ $app }` is refused: { $why }
fact-wal_hole = WAL of `{ $app }` from { $from } to { $to } was not handed over: moments in it cannot be restored; a new base backup is taken.
fact-wal_removed = WAL of `{ $app }` was gone from its server before it was received: moments in it cannot be restored; a new base backup is taken. { $why }
fact-wal_elsewhere = The WAL of `{ $app }` begins anew: { $why }
fact-wal_late = The WAL of `{ $app }` is { $minutes } minutes behind: { $why }
fact-nothing_comes = Nothing comes from the server.
fact-wal_shut = The archive of WAL cannot be opened: { $why }
fact-wal_stopped = WAL does not come from the server: { $why }
fact-wal_not_stored = WAL { $name } cannot be stored, and is tried again: { $why }
fact-slot_stays = The slot keeps too much and cannot be let go of: { $why }
fact-archive_command_fails = The server's `archive_command` fails for { $file }: see the server's log.
fact-receiver_silent = `backup-sidecar wal-receive` beside the server hands nothing over: see its log.
fact-wal_back = The WAL of `{ $app }` comes and is stored again.
fact-wal_kept = The server of `{ $app }` keeps { $kept } of WAL that is not stored yet; at { $most } its slot is let go of, so that its disk does not fill.
fact-slot_let_go = The slot of `{ $app }` was let go of, since its server kept { $kept } of WAL for it, and { $most } are allowed: moments that need it cannot be restored; a new base backup is taken as soon as the destination takes it.

# Docker.
fact-docker_unset = Docker is not reachable from here: mount its socket (or a filtering proxy) and set DOCKER_HOST, for example unix:///var/run/docker.sock.
fact-docker_host_wrong = `DOCKER_HOST` is `{ $host }`: use `unix:///PATH` or `tcp://HOST:PORT`.
fact-docker_said = Docker: { $said }
fact-docker_forbids = Docker: { $said } Let the proxy in front of Docker allow it.
fact-docker_refused = Docker ({ $status }): { $said }
fact-docker_not_running = { $what }: Docker: { $said } Start the container.
fact-docker_not_attached = Docker did not attach to the command.
fact-no_shell = { $what }: the container has no `sh`, without which nothing is run in it.
fact-exec_goes_on = A command in container { $container } does not end.
fact-line_break = { $name } cannot hold a line break inside a container.
fact-not_in_that_container = { $what } cannot be run: { $said } Use a container that has it.
fact-volume_not_ours = The volume { $volume } is not ours: it is left alone.
fact-network_not_ours = The network { $network } is not ours: it is left alone.
fact-not_stopped = `{ $container }` could not be stopped: { $why }
fact-not_paused = `{ $container }` could not be paused: { $why }
fact-of_volume = Volume `{ $volume }`: { $why }
fact-volume_cut_off = Docker ended the archive of volume `{ $volume }` before its end, as it does when files change while they are read: set `containers` to `pause` or `stop`, or see the log of dockerd.
fact-it_wrote = { $why } It wrote: { $said }

# Programs.
fact-program_no_input = { $program } cannot read { $path }: { $why }
fact-program_not_started = { $program } cannot be started: { $why }
fact-program_too_much = { $program } wrote more than { $size }.
fact-program_late = { $program } did not end in time: raise the app's time limit.
fact-program_ended = { $program } ended with exit code { $code }: { $said }
fact-program_killed = { $program } was killed by signal { $signal }: { $said }

fact-run_ended_badly = The run did not end well.
fact-overdue_since = The newest good snapshot of `{ $app }` is of { $at }; there should be one every { $objective }.
fact-overdue_never = `{ $app }` has no good snapshot since it was added at { $at }; there should be one every { $objective }.
fact-copies_damaged = { $count } copies of `{ $app }` at `{ $destination }` are damaged or missing: copy them there again from another destination, or back the app up anew.
fact-repository_not_whole = The repository at `{ $destination }` is not whole ({ $count } problems): verify its snapshots to learn which of them are hurt.
fact-slower_than_usual = The last backup of `{ $app }` took { $took }, where { $usual } is usual.
fact-files_unusual = The newest snapshot of `{ $app }` has { $files } files, where { $usual } are usual.
fact-alert_undelivered = A message of { $at } to the channel `{ $channel }` was given up: { $why }.
