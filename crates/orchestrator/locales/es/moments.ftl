# Volver a cualquier momento de un servidor PostgreSQL
moments = Cualquier momento
moments-title = { $app }: volver a cualquier momento
moments-open = Volver a un momento
moments-off = No se guarda el WAL de esta aplicación, así que vuelve tal como la muestra una de sus instantáneas. Con un archivo continuo de WAL su servidor PostgreSQL puede volver a cualquier momento.
moments-set-up = Configurarlo
moments-none = Todavía no se puede volver a ningún momento: primero hay que guardar una copia base.
moments-sentence = Se puede volver a cualquier momento desde { $from } hasta { $until } ({ $ago }).
moments-window = Cualquier momento desde { $from } hasta { $until }
moments-gap = Perdido: falta WAL desde { $from } hasta { $until }
moments-gap-before = el principio
moments-gap-open = ahora
moments-can = A qué se puede volver
moments-any = Cualquier momento
moments-lost = Perdido
moments-table = Lo mismo como tabla
moments-days = { $count ->
    [one] un día atrás
   *[other] { $count } días atrás
}
moments-hours = { $count ->
    [one] una copia base cada hora
   *[other] una copia base cada { $count } horas
}
moments-drill = Simulacro de un momento al azar
moments-nearest = Momentos más cercanos a los que se puede volver:
moments-begins = Empieza con
moments-replays = Reproduce
base = Copia base
base-now = Copia base ahora
wal = WAL
wal-live = llega
wal-silent = no llega
wal-heard = oído
wal-lag = Retraso
wal-stored-to = Guardado hasta
wal-server-at = servidor:
wal-kept = Retenido por el servidor
wal-timeline = Línea temporal del WAL
wal-stream = Transmitido
wal-push = Entregado
wal-push-how = El servidor entrega el WAL con
col-from = Desde
col-until = Hasta
col-happened = Qué pasó
moment-which = Qué momento
moment-time = Una hora
moment-time-text = Como estaba justo después de la última transacción confirmada hasta entonces.
moment-date = Fecha
moment-clock = Hora
moment-lsn = Posición en el WAL (LSN)
moment-latest = El último estado guardado
moment-pause = Parar ahí y esperar
moment-pause-text = La reproducción se detiene en el momento y el servidor se puede leer; acepta cambios después de SELECT pg_promote().
moment-timeline-hint = Vacío: aquella en la que está el WAL más nuevo.
moment-to-folder = Ahí se crea un directorio de datos nuevo, en la máquina del orquestador. No se toca nada de la aplicación; el servidor se arranca desde ahí.
moment-no-roots = El orquestador todavía no escribe en ninguna carpeta: primero configure `BACKUP_RESTORE_ROOTS`.
moment-path = una ruta absoluta, como /restored/shop
moment-unreadable = Hacen falta una hora y su zona, como 14:30:00 y Europe/Madrid.
moment-twice = Esta hora llega dos veces, porque entonces se atrasan los relojes. Escriba una de estas como desfase de la zona: { $first } o { $second }.
moment-never = Esta hora nunca existió, porque entonces se adelantan los relojes, a las { $at }.
restore-point = Momento con nombre
restore-points = Momentos con nombre
restore-points-none = Todavía ninguno. Un nombre puesto antes de algo arriesgado se encuentra fácilmente.
restore-point-name = Ponerle nombre a este momento
restore-point-make = Ponerle este nombre
done-point-made = El momento tiene su nombre.
error-number = un número entero, como 7
snapshot-kind-base = copia base
landed = Dónde quedó
landed-last = Última transacción
landed-replayed = Reproducido hasta
landed-none = ninguna
landed-promoted = Promovido
landed-waits = espera SELECT pg_promote()
landed-yes = sí

# En el formulario de una aplicación
form-moments-hint = Guarda todo el WAL del servidor PostgreSQL de la aplicación, con copias base para empezar.
form-moments-keep = Poder volver a cualquier momento
form-moments-how = Cómo
form-wal-stream = El orquestador recibe el WAL a medida que el servidor lo escribe: se pierden segundos como mucho.
form-wal-push = El archive_command del servidor entrega cada segmento a backup-sidecar wal-push.
form-wal-source = Fuente
form-wal-source-hint = Solo hace falta si más de una es un servidor PostgreSQL.
form-wal-destination = Adónde van el WAL y las copias base
form-wal-first = El primer destino
form-wal-window = Días atrás
form-wal-base = Horas entre copias base
form-wal-kept = Máximo de WAL retenido (MiB)
form-wal-kept-hint = Cuando el destino falta mucho tiempo, el servidor retiene el WAL; por encima de esto lo suelta, para que su disco no se llene, y se hace una copia base nueva.
form-heartbeat = Una fila en el servidor cada minuto, con la que los simulacros prueban el momento.
heartbeat = Latido

# La línea de tiempo de una aplicación
timeline = Línea de tiempo
timeline-title = { $app }: línea de tiempo
timeline-span = Cuánto se muestra
timeline-day = Día
timeline-week = Semana
timeline-month = Mes
timeline-year = Año
timeline-earlier = Antes
timeline-later = Después
timeline-label = { $from } a { $until }
timeline-snapshots = Instantáneas
timeline-deploys = Despliegues
timeline-drills = Simulacros y restauraciones
timeline-incidents = Incidentes
timeline-several = { $what }: { $count } desde { $from } hasta { $until }
timeline-summary = { $what }: { $count }
timeline-all = Todo
timeline-empty = No pasó nada.
timeline-cut = Hay más de lo que se muestra: elija un tiempo más corto.
