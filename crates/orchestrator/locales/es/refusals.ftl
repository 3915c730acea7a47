# Asked for, and not to be done now.
fact-not_there = { $what ->
    [alert] No hay ninguna alerta `{ $name }`.
    [app] No hay ninguna app `{ $name }`.
    [artifact] No hay ningún artefacto `{ $name }`.
    [channel] No hay ningún canal `{ $name }`.
    [destination] No hay ningún destino `{ $name }`.
    [file] No hay ningún archivo `{ $name }`.
    [folder] No hay ninguna carpeta `{ $name }`.
    [recovery] No hay ninguna recuperación `{ $name }`.
    [report] No hay ningún informe `{ $name }`.
    [route] No hay ninguna ruta `{ $name }`.
    [run] No hay ninguna ejecución `{ $name }`.
    [session] No hay ninguna sesión `{ $name }`.
    [snapshot] No hay ninguna instantánea `{ $name }`.
    [token] No hay ningún token `{ $name }`.
    [user] No hay ningún usuario `{ $name }`.
   *[other] No hay nada llamado `{ $name }` ({ $what }).
}
fact-name_is_taken = { $what ->
    [app] Ya hay una app `{ $name }`: elegir otro nombre.
    [destination] Ya hay un destino `{ $name }`: elegir otro nombre.
    [channel] Ya hay un canal `{ $name }`: elegir otro nombre.
    [route] Ya hay una ruta `{ $name }`: elegir otro nombre.
    [token] Ya hay un token `{ $name }`: elegir otro nombre.
    [user] Ya hay un usuario `{ $name }`: elegir otro nombre.
   *[other] `{ $name }` ya está en uso: elegir otro nombre.
}
fact-changed_by_other = Alguien cambió `{ $name }` mientras tanto: volver a mirarlo y repetir el cambio.
fact-is_used = `{ $name }` está en uso: { $by }.
fact-used_by_run = una ejecución en curso; esperar a que termine o cancelarla
fact-used_by_app = lo usa la app `{ $app }`
fact-used_by_route = lo usa la ruta `{ $route }`
fact-used_by_deletion = su borrado ya empezó
fact-last_admin = `{ $name }` es el último administrador: dar antes ese papel a otro usuario.
fact-identity_is_taken = Esta cuenta del otro servicio ya está vinculada con `{ $by }`: desvincularla antes ahí.
fact-declared_in_file = `{ $name }` está declarado en backups.yml: cambiarlo ahí; el servidor lo lee otra vez.
fact-declared_by_labels = `{ $name }` está declarado con etiquetas en un contenedor: cambiarlas ahí.
fact-queued_already = La ejecución ya está en cola.
fact-run_works_there = La ejecución { $run } trabaja con `{ $destination }`: esperar a que termine o cancelarla; después { $wanted }.
fact-may_be_removed = se puede quitar
fact-may_be_changed = se pueden cambiar sus ajustes
fact-may_be_unlocked = se pueden quitar sus bloqueos
fact-never_recovered_over = Aquí hay apps o destinos, que una recuperación reemplazaría: recuperar en un servidor vacío, o ejecutar `backup-orchestrator bootstrap ADDRESS --force`.
fact-not_looked_at = No se miró nada con esa palabra, o después se miró otra cosa: mirar otra vez.
# Messages that were not taken.
fact-channel_off = El canal está deshabilitado.
fact-channel_gone = El canal se quitó.
fact-place_refused = { $place } no se permite: { $why }
fact-place_unreachable = No se llega a { $place }: { $why }
fact-place_late = { $place } no respondió en { $seconds } s.
fact-place_throttles = { $place } quiere menos mensajes; se intenta otra vez más tarde.
fact-place_troubled = { $place } respondió { $status }: tiene un problema propio; se intenta otra vez más tarde.
fact-place_takes_none = { $place } no lo acepta: { $why }
fact-place_postpones = { $place } no lo acepta ahora: { $why }
fact-place_odd = { $place } respondió { $status }, pero no como lo hace { $kind }; revisar la dirección.
# Restores and snapshots.
fact-confirm_replaced = Se reemplazaría { $what }: escribir el nombre de la app, `{ $app }`, para confirmarlo.
fact-confirm_go_back = Se reemplazaría lo que `{ $app }` tiene ahora: escribir el nombre de la app, `{ $app }`, para confirmarlo.
fact-base_alone = Esto es un respaldo base: elegir un momento al que lleve (`restore APP --at MOMENTO`).
fact-no_good_to_try = `{ $app }` no tiene ninguna instantánea buena para el simulacro: respaldarla antes.
fact-no_good_copy_of = La instantánea { $snapshot } no tiene una copia buena.
fact-no_good_copy_there = La instantánea { $snapshot } no tiene una copia buena en ese destino.
fact-handed_out_other = Lo entregado antes de encontrar el daño no es lo que tiene la otra copia: leerlo otra vez.
fact-index_not_made = El índice no se hizo: pedirlo otra vez.
fact-index_gone = El índice se acaba de quitar: pedirlo otra vez.
# WAL.
fact-no_wal_archive = `{ $app }` no tiene archivo de WAL: activarlo antes en sus ajustes.
fact-wal_else_now = { $file } está en el archivo de WAL con otro contenido ({ $there } ahí, { $now } ahora): no se sobrescribe nada; quizá dos servidores escriben en el mismo archivo, o uno se restauró sin una línea de tiempo nueva.
fact-point_is_there = `{ $app }` ya tiene un punto de restauración `{ $name }`: dar otro nombre.
# Destinations.
fact-nothing_deleted_there = `{ $destination }` es de solo agregar: ahí no se borra nada.
fact-key_stays_there = `{ $destination }` es de solo agregar: su clave vieja no se puede quitar; agregar una clave e ingresar su contraseña en los ajustes del destino.
fact-key_in_use = Esta es la contraseña en uso: ingresar antes otra en los ajustes del destino.
fact-not_repository = `{ $destination }` no es un repositorio: solo lo son los destinos con `layout` = `repository`.
fact-changed_meanwhile = `{ $destination }` cambió mientras tanto: mirarlo e intentarlo otra vez.
fact-no_google_drive = `{ $destination }` no es un Google Drive.
fact-no_google_client = Ingresar antes el ID y el secreto del cliente OAuth, y guardar.
fact-google_address = BACKUP_GOOGLE_AUTH_URL: { $why }
fact-google_for_a_moment = Google no dio un token duradero: quitar el acceso de este cliente en https://myaccount.google.com/connections y conectar otra vez.
fact-google_unreachable = No se pudo pedir el token a Google: { $why }
fact-google_too_long = La respuesta de Google es demasiado larga.
fact-google_unclear = La respuesta de Google ({ $status }) no es lo que debería ser.
fact-google_refused = Google lo rechazó ({ $said }): revisar el ID del cliente, su secreto y la dirección de retorno, y conectar otra vez.
