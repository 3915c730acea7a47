storage-title = Almacenamiento
storage-summary = Las copias ocupan { $now }; el { $date } ocupaban { $from }.
storage-grows = Crecen { $by } por día: { $then } en 30 días.
storage-shrinks = Bajan { $by } por día: { $then } en 30 días.
storage-steady = Siguen igual.
storage-learning = Lo que viene se dice a partir de 7 días ({ $days } de 7).
storage-full = { $days ->
    [0] A ese ritmo se llena hoy.
    [one] A ese ritmo se llena en 1 día.
   *[other] A ese ritmo se llena en { $days } días.
}
stored-wal = de ello, WAL: { $size }
storage-free = Ahí quedan libres { $size }.
storage-ahead = En 30 días
storage-table = Cifras
col-day = Día
