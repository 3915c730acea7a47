# What happens.
fact-worker_gone = El trabajador de esta ejecución desapareció (se detuvo o se mató el orquestador, o la máquina).
fact-run_done = La ejecución salió bien.
fact-cancelled_before = Cancelada antes de empezar.
fact-at = { $place }: { $why }
fact-whole_but = La instantánea está entera, pero: { $why }
fact-unlike_before = La instantánea de `{ $app }` es de { $size }, lejos de lo que tenían las anteriores; nada vence para esta app hasta que venga una normal o alguien la acepte.
fact-expired_at = { $count ->
    [one] Venció 1 instantánea de `{ $app }` en `{ $destination }`.
   *[other] Vencieron { $count } instantáneas de `{ $app }` en `{ $destination }`.
  }
fact-uploads_swept = { $count ->
    [one] Se quitó 1 subida sin terminar de `{ $destination }`.
   *[other] Se quitaron { $count } subidas sin terminar de `{ $destination }`.
  }
fact-came_into_app = `{ $app }` del { $at } se restauró en la app.
fact-came_beside = `{ $app }` del { $at } se restauró al lado, como `{ $name }`.
fact-came_into_folder = `{ $app }` del { $at } se restauró en { $path }.
fact-fires_missed = { $count ->
    [one] Pasó 1 de las horas en que `{ $app }` debía ejecutarse sin que nada se ejecutara.
   *[other] Pasaron { $count } de las horas en que `{ $app }` debía ejecutarse sin que nada se ejecutara.
  }
fact-served_in_future = Una programación se atendió en el futuro.
fact-clock_back = El reloj se atrasó { $minutes } min.
fact-clock_forward = El reloj se adelantó { $minutes } min.
fact-clock_back_since = El reloj se atrasó { $minutes } min desde que un orquestador funcionó por última vez: lo cambiaron, o nada funcionaba.
fact-clock_forward_since = El reloj se adelantó { $minutes } min desde que un orquestador funcionó por última vez: lo cambiaron, o nada funcionaba.
fact-labels_not_followed = No se siguen las etiquetas del contenedor `{ $container }`: { $why }
fact-labels_wrong = Etiquetas del contenedor `{ $container }`: { $why }
fact-uncovered = En ninguna app: { $what }.
fact-uncovered_more = En ninguna app: { $what } y { $more } más.
fact-no_copies_at = Destinos sin copia: { $failed } de { $places }. { $why }

# Retention.
fact-kept_append_only = El destino es de solo añadir: allí nada caduca. Límpielo con una regla del almacenamiento.
fact-kept_last_failed = La última ejecución falló: nada vence hasta que una termine bien.
fact-kept_anomalous = La última instantánea no se parece a las anteriores: nada vence hasta que siga una normal o alguien la acepte.
fact-kept_last = El plan no dejaría ninguna instantánea: nada vence.
fact-kept_clock = El reloj se movió más de un día: nada vence por un día, o hasta que alguien diga que la hora es correcta.
fact-kept_recovered = El catálogo se reconstruyó: nada caduca hasta que alguien confirme que está como debe.

# The catalog, and the way back to it.
fact-catalog_rebuilt = El catálogo se rehízo a partir de { $from }; la programación y la retención esperan hasta que alguien lo confirme (`recovery confirm`).
fact-catalog_rebuilt_here = El catálogo se rehízo a partir de { $from }; la retención espera hasta que alguien lo confirme (`recovery confirm`).
fact-manifests_alone = los manifiestos solos
fact-copy_and_manifests = la copia del { $at } y los manifiestos de su destino
fact-kit_due = Nadie ha guardado el kit de recuperación como está ahora: imprimirlo (`recovery-kit`) y guardarlo lejos de esta máquina; sin él las copias del catálogo no se pueden abrir.
fact-catalog_not_copied = El catálogo no se pudo copiar: { $why }
fact-catalog_copy_gone = La copia del catálogo no está: { $why }
fact-manifests_read = Manifiestos leídos de `{ $destination }`: { $manifests }; instantáneas nuevas: { $snapshots }, copias nuevas: { $copies }, faltantes: { $missing }, dañadas: { $damaged }, problemas: { $problems }.
fact-copy_alone = la copia del { $at }

# Passwords of repositories.
fact-rotation_old = El cambio de la contraseña de `{ $destination }` se cortó antes de entrar en vigor: se usa la contraseña de antes, y la nueva no abre nada; cambiarla otra vez.
fact-rotation_new = El cambio de la contraseña de `{ $destination }` se cortó después de entrar en vigor: se usa la contraseña nueva, y la de antes ya no abre nada; quien no vio la nueva la cambia otra vez.
fact-rotation_neither = El cambio de la contraseña de `{ $destination }` se cortó, y desde entonces se puso otra contraseña: mirar las claves del repositorio, y quitar las que nadie necesita.

# What is declared in `backups.yml`.
fact-declared = { $file }: { $what }
fact-declared_added = agregado: { $names }.
fact-declared_changed = cambiado: { $names }.
fact-declared_no_more = ya no declarado (las apps quedan desactivadas, sus instantáneas quedan): { $names }.
fact-declared_stays = Sigue en vigor lo que se declaró antes. { $why }
fact-declared_waits = { $file } espera: { $why }

# What a run owes.
fact-after_run = Después de una ejecución: { $why }
fact-restore_left = Una restauración se cortó una y otra vez y dejó { $what }: mirarlo, y quitarlo o arrancarlo.
fact-stays_owed = { $what }: { $why }. { $remedy } Se vuelve a intentar, a más tardar cada { $minutes } minutos.
fact-stopped_stays = El contenedor { $container } se detuvo para una ejecución y no se puede arrancar
fact-paused_stays = El contenedor { $container } se pausó para una ejecución y no puede seguir
fact-helper_stays = El contenedor { $container }, hecho para leer un volumen, no se puede quitar
fact-scratch_stays = El contenedor { $container }, hecho para un simulacro, no se puede quitar
fact-network_stays = La red { $network }, hecha para un simulacro, no se puede quitar
fact-volume_stays = El volumen { $volume }, hecho para un simulacro, no se puede quitar
fact-exec_stays = Una orden nuestra en el contenedor { $container } no se puede terminar ({ $marker })
fact-post_not_run = `{ $command }`, que pide `backup.exec-post`, no se puede ejecutar en el contenedor { $container }
fact-hook_not_run = `{ $command }`, que pide `quiesce.post`, no se puede ejecutar
fact-hook_not_run_in = `{ $command }`, que pide `quiesce.post`, no se puede ejecutar en el contenedor { $container }
fact-snapshot_stays = La instantánea { $name } no se puede quitar
fact-databases_closed = Las bases { $names } pueden estar cerradas para todos desde una restauración
fact-folder_stays = La carpeta { $path } no se puede quitar
fact-do_start = Quitar lo que estorba y `{ $command }`, o quitarlo.
fact-do_go_on = Probar `{ $command }` o `{ $other }`.
fact-do_remove = Quitarlo: `{ $command }`.
fact-do_look = Mirar `{ $command }`, o reiniciar el contenedor.
fact-do_start_only = Arrancar el contenedor (`{ $command }`), o quitarlo.
fact-do_unmount = Desmontar { $mount }, después `{ $command }`.
fact-do_open = Abrir las que estén: `ALTER DATABASE … ALLOW_CONNECTIONS true`.
fact-do_run_by_hand = Ejecutarlo a mano, o corregir la app.
fact-do_remove_by_hand = Quitarla.

# Archivos de WAL.
fact-wal_lost = { $count } piezas del WAL de `{ $app }` están dañadas o ya no están, la primera { $name }: los momentos que las necesitan no se pueden restaurar; se toma una nueva copia base donde haga falta.
fact-wal_other = Se rechaza WAL de `{ $app }`: { $why }
fact-wal_hole = No se entregó el WAL de `{ $app }` desde { $from } hasta { $to }: los momentos que contiene no se pueden restaurar; se toma una nueva copia base.
fact-wal_removed = El WAL de `{ $app }` desapareció de su servidor antes de recibirse: los momentos que contiene no se pueden restaurar; se toma una nueva copia base. { $why }
fact-wal_elsewhere = El WAL de `{ $app }` empieza de nuevo: { $why }
fact-wal_late = El WAL de `{ $app }` lleva { $minutes } minutos de retraso: { $why }
fact-nothing_comes = No llega nada del servidor.
fact-wal_shut = El archivo de WAL no se puede abrir: { $why }
fact-wal_stopped = No llega WAL del servidor: { $why }
fact-wal_not_stored = El WAL { $name } no se puede guardar, y se intenta otra vez: { $why }
fact-slot_stays = El slot conserva demasiado y no se puede soltar: { $why }
fact-archive_command_fails = El `archive_command` del servidor falla con { $file }: ver el registro del servidor.
fact-receiver_silent = `backup-sidecar wal-receive`, junto al servidor, no entrega nada: ver su registro.
fact-wal_back = El WAL de `{ $app }` llega y se guarda otra vez.
fact-wal_kept = El servidor de `{ $app }` conserva { $kept } de WAL que aún no está guardado; al llegar a { $most } se suelta su slot, para que no se llene su disco.
fact-slot_let_go = Se soltó el slot de `{ $app }`, porque su servidor conservaba { $kept } de WAL y se permiten { $most }: los momentos que lo necesitan no se pueden restaurar; se toma una nueva copia base en cuanto el destino la admita.

# Docker.
fact-docker_unset = Desde aquí no se llega a Docker: montar su socket (o un proxy que filtre) y poner DOCKER_HOST, por ejemplo unix:///var/run/docker.sock.
fact-docker_host_wrong = `DOCKER_HOST` es `{ $host }`: usar `unix:///RUTA` o `tcp://HOST:PUERTO`.
fact-docker_said = Docker dice: { $said }
fact-docker_forbids = Docker dice: { $said } Que lo permita el proxy que está delante de Docker.
fact-docker_refused = Docker dice ({ $status }): { $said }
fact-docker_not_running = { $what }: Docker dice: { $said } Arrancar el contenedor.
fact-docker_not_attached = Docker no se unió a la orden.
fact-no_shell = { $what }: el contenedor no tiene `sh`, y sin él no se ejecuta nada dentro.
fact-exec_goes_on = Una orden en el contenedor { $container } no termina.
fact-line_break = { $name } no puede tener un salto de línea dentro de un contenedor.
fact-not_in_that_container = { $what } no se puede ejecutar: { $said } Usar un contenedor que lo tenga.
fact-volume_not_ours = El volumen { $volume } no es nuestro: no se toca.
fact-network_not_ours = La red { $network } no es nuestra: no se toca.
fact-not_stopped = `{ $container }` no se pudo detener: { $why }
fact-not_paused = `{ $container }` no se pudo pausar: { $why }
fact-of_volume = Volumen `{ $volume }`: { $why }
fact-volume_cut_off = Docker terminó el archivo del volumen `{ $volume }` antes de su fin, como hace cuando los archivos cambian mientras se leen: poner `containers` en `pause` o `stop`, o ver el registro de dockerd.
fact-it_wrote = { $why } Escribió: { $said }

# Programs.
fact-program_no_input = { $program } no puede leer { $path }: { $why }
fact-program_not_started = { $program } no se puede iniciar: { $why }
fact-program_too_much = { $program } escribió más de { $size }.
fact-program_late = { $program } no terminó a tiempo: subir el límite de tiempo de la app.
fact-program_ended = { $program } terminó con el código { $code }: { $said }
fact-program_killed = A { $program } lo terminó la señal { $signal }: { $said }

fact-run_ended_badly = La ejecución no terminó bien.
fact-overdue_since = La instantánea buena más reciente de `{ $app }` es del { $at }; debería haber una cada { $objective }.
fact-overdue_never = `{ $app }` no tiene ninguna instantánea buena desde que se añadió, el { $at }; debería haber una cada { $objective }.
fact-copies_damaged = { $count } copias de `{ $app }` en `{ $destination }` están dañadas o faltan: copiarlas allí de nuevo desde otro destino, o respaldar la app otra vez.
fact-repository_not_whole = El repositorio en `{ $destination }` no está completo ({ $count } problemas): verificar sus instantáneas para saber cuáles están afectadas.
fact-slower_than_usual = La última copia de `{ $app }` tardó { $took }, cuando lo habitual es { $usual }.
fact-files_unusual = La instantánea más reciente de `{ $app }` tiene { $files } archivos, cuando lo habitual es { $usual }.
fact-alert_undelivered = Se renunció a un mensaje del { $at } al canal `{ $channel }`: { $why }.
