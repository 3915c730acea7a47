storage-title = Storage
storage-summary = Copies take { $now }; on { $date } they took { $from }.
storage-grows = They grow by { $by } a day: { $then } in 30 days.
storage-shrinks = They shrink by { $by } a day: { $then } in 30 days.
storage-steady = They stay as they are.
storage-learning = What is to come is told from 7 days on ({ $days } of 7).
storage-full = { $days ->
    [0] At that pace it is full today.
    [one] At that pace it is full in 1 day.
   *[other] At that pace it is full in { $days } days.
}
stored-wal = of it WAL: { $size }
storage-free = { $size } are free there.
storage-ahead = In 30 days
storage-table = Figures
col-day = Day
