# Going back to any moment of a PostgreSQL server
moments = Any moment
moments-title = { $app }: go back to any moment
moments-open = Go back to a moment
moments-off = No WAL of this app is kept, so it comes back as one of its snapshots shows it. With a continuous archive of WAL its PostgreSQL server can be brought back to any moment.
moments-set-up = Set it up
moments-none = No moment can be gone back to yet: a base backup has to be stored first.
moments-sentence = Any moment from { $from } to { $until } ({ $ago }) can be gone back to.
moments-window = Any moment from { $from } to { $until }
moments-gap = Lost: WAL is missing from { $from } to { $until }
moments-gap-before = the beginning
moments-gap-open = now
moments-can = What can be gone back to
moments-any = Any moment
moments-lost = Lost
moments-table = The same as a table
moments-days = { $count ->
    [one] one day back
   *[other] { $count } days back
}
moments-hours = { $count ->
    [one] a base backup every hour
   *[other] a base backup every { $count } hours
}
moments-drill = Drill a random moment
moments-nearest = Nearest moments that can be gone back to:
moments-begins = Begins with
moments-replays = Replays
base = Base backup
base-now = Base backup now
wal = WAL
wal-live = coming
wal-silent = not coming
wal-heard = heard
wal-lag = Behind
wal-stored-to = Stored up to
wal-server-at = server:
wal-kept = Kept by the server for us
wal-timeline = Timeline of WAL
wal-stream = Streamed
wal-push = Handed over
wal-push-how = The server hands WAL over by
col-from = From
col-until = To
col-happened = What happened
moment-which = Which moment
moment-time = A time
moment-time-text = As it was just after the last transaction that was committed by then.
moment-date = Date
moment-clock = Time
moment-lsn = Position in WAL (LSN)
moment-latest = The last state that is stored
moment-pause = Stop there and wait
moment-pause-text = Replay stops at the moment and the server can be read; it takes changes after SELECT pg_promote().
moment-timeline-hint = Left empty: the one that the newest WAL is on.
moment-to-folder = A new data directory is made there, on the orchestrator's machine. Nothing of the app is touched; the server is started from there.
moment-no-roots = The orchestrator writes into no folder yet: set `BACKUP_RESTORE_ROOTS` first.
moment-path = an absolute path, such as /restored/shop
moment-unreadable = A time and its zone are needed, such as 14:30:00 and Europe/Madrid.
moment-twice = This time comes twice, because clocks are put back then. Write one of these as the zone's offset: { $first } or { $second }.
moment-never = This time never was, because clocks are put forward then, at { $at }.
restore-point = Named moment
restore-points = Named moments
restore-points-none = None yet. A name given before something risky is easily found again.
restore-point-name = Name this moment
restore-point-make = Give it this name
done-point-made = The moment has its name.
error-number = a whole number, such as 7
snapshot-kind-base = base backup
landed = Where it landed
landed-last = Last transaction
landed-replayed = Replayed up to
landed-none = none
landed-promoted = Promoted
landed-waits = it waits for SELECT pg_promote()
landed-yes = yes

# In the form of an app
form-moments-hint = Keeps all WAL of the app's PostgreSQL server, with base backups to begin with.
form-moments-keep = Make any moment one that can be gone back to
form-moments-how = How
form-wal-stream = The orchestrator receives WAL as the server writes it: seconds are lost at most.
form-wal-push = The server's archive_command hands each segment to backup-sidecar wal-push.
form-wal-source = Source
form-wal-source-hint = Needed only where more than one is a PostgreSQL server.
form-wal-destination = Where WAL and base backups go
form-wal-first = The first destination
form-wal-window = Days back
form-wal-base = Hours between base backups
form-wal-kept = Most WAL kept for us (MiB)
form-wal-kept-hint = When the destination is away for long, the server keeps WAL for us; above this it lets go, so that its disk does not fill, and a new base backup is taken.
form-heartbeat = A row in the server every minute, by which drills prove the moment.
heartbeat = Heartbeat

# The timeline of an app
timeline = Timeline
timeline-title = { $app }: timeline
timeline-span = How much is shown
timeline-day = Day
timeline-week = Week
timeline-month = Month
timeline-year = Year
timeline-earlier = Earlier
timeline-later = Later
timeline-label = { $from } to { $until }
timeline-snapshots = Snapshots
timeline-deploys = Deployments
timeline-drills = Drills and restores
timeline-incidents = Incidents
timeline-several = { $what }: { $count } from { $from } to { $until }
timeline-summary = { $what }: { $count }
timeline-all = All of it
timeline-empty = Nothing happened.
timeline-cut = There is more than is shown: choose a shorter time.
