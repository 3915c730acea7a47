# Lo que dicen las alertas, en mensajes y en páginas.
alert-about-here = Backup Orchestrator
alert-about-both = { $app } en { $destination }
alert-title-opened = { $about }: { $what }
alert-title-lasts = Sigue: { $about }: { $what }
alert-title-closed = Resuelto: { $about }: { $what }
alert-lasted = Empezó el { $from } y duró { $length }.
alert-was = Qué estaba mal: { $told }
alert-fact-app = App
alert-fact-destination = Destino
alert-fact-since = Desde
alert-fact-until = Hasta
alert-digest-title = { $open ->
    [0] { $over ->
        [one] 1 alerta resuelta
       *[other] { $over } alertas resueltas
      }
    [one] { $over ->
        [0] 1 alerta
        [one] 1 alerta, 1 resuelta
       *[other] 1 alerta, { $over } resueltas
      }
   *[other] { $over ->
        [0] { $open } alertas
        [one] { $open } alertas, 1 resuelta
       *[other] { $open } alertas, { $over } resueltas
      }
  }
alert-digest-none = No hay nada que contar
alert-digest-more = y { $count } más
alert-digest-line = { $title } ({ $when })
alert-test-title = Mensaje de prueba de Backup Orchestrator
alert-test-body = A quien lea esto le llegan los avisos: las alertas con ruta a este canal aparecen aquí. No dice nada de cómo están los respaldos.
alert-beat-well = Todo está bien: no hay ninguna alerta abierta.
alert-beat-open = { $count ->
    [one] Hay 1 alerta abierta
   *[other] Hay { $count } alertas abiertas
  }
alert-kind-backup-failed = Respaldo fallido
alert-is-backup-failed = falló el respaldo
alert-over-backup-failed = se respalda otra vez
alert-do-backup-failed = Abrir la ejecución para ver qué salió mal; dice qué hacer.
alert-kind-backup-partial = Falta una copia en un destino
alert-is-backup-partial = el respaldo dejó un destino sin copia
alert-over-backup-partial = otra vez con copias en todos los destinos
alert-do-backup-partial = Abrir la ejecución para ver qué destino falló y por qué.
alert-kind-overdue = Atrasada
alert-is-overdue = sin una instantánea buena reciente
alert-over-overdue = otra vez con una instantánea buena reciente
alert-do-overdue = Revisar su programación y sus últimas ejecuciones, o respaldarla ahora.
alert-kind-retention-failed = Retención rechazada o fallida
alert-is-retention-failed = no vencieron las instantáneas viejas
alert-over-retention-failed = las instantáneas viejas vencen otra vez
alert-do-retention-failed = No se perdió nada, pero no se libera espacio. Abrir la ejecución para ver por qué.
alert-kind-destination-full = Destino lleno
alert-is-destination-full = lleno
alert-over-destination-full = otra vez con espacio
alert-do-destination-full = Liberar espacio allí, o conservar las instantáneas menos tiempo.
alert-kind-destination-unreachable = Destino inaccesible
alert-is-destination-unreachable = no se puede usar
alert-over-destination-unreachable = se puede usar otra vez
alert-do-destination-unreachable = Probar el destino: la prueba dice qué paso falla.
alert-kind-copy-damaged = Copia dañada o faltante
alert-is-copy-damaged = hay copias dañadas o faltantes
alert-over-copy-damaged = las copias están enteras otra vez
alert-do-copy-damaged = Una instantánea dañada nunca cuenta como buena. Las otras copias aún se pueden restaurar.
alert-kind-drill-failed = Simulacro fallido
alert-is-drill-failed = falló la restauración de prueba
alert-over-drill-failed = la restauración de prueba funciona otra vez
alert-do-drill-failed = Abrir el simulacro: hasta que uno salga bien, no está probado que esta app pueda volver.
alert-kind-size-anomaly = Tamaño inusual
alert-is-size-anomaly = la última instantánea tiene un tamaño inusual
alert-over-size-anomaly = los tamaños son otra vez los habituales
alert-do-size-anomaly = Revisar la instantánea. Aceptarla si está como debe: la retención espera hasta entonces.
alert-kind-duration-anomaly = Duración inusual
alert-is-duration-anomaly = el último respaldo tardó más de lo habitual
alert-over-duration-anomaly = los respaldos tardan otra vez lo habitual
alert-do-duration-anomaly = Revisar la ejecución: sus etapas muestran en qué se fue el tiempo.
alert-kind-file-count-anomaly = Cantidad de archivos inusual
alert-is-file-count-anomaly = la última instantánea tiene una cantidad inusual de archivos
alert-over-file-count-anomaly = otra vez con la cantidad habitual de archivos
alert-do-file-count-anomaly = Comparar la instantánea con la anterior para ver qué cambió.
alert-kind-wal-gap = Hueco en el archivo del registro
alert-is-wal-gap = falta una parte del registro de la base de datos
alert-over-wal-gap = el registro de la base de datos está entero otra vez
alert-do-wal-gap = Ningún momento dentro del hueco se puede restaurar. Hacer ahora un nuevo respaldo base.
alert-kind-catalog-copy-failed = Falló la copia del catálogo
alert-is-catalog-copy-failed = no se pudo copiar el catálogo
alert-over-catalog-copy-failed = el catálogo se copia otra vez
alert-do-catalog-copy-failed = Sin una copia reciente, volver después de una pérdida lleva más tiempo. Revisar los ajustes de recuperación.
alert-kind-recovery-kit-due = Kit de recuperación pendiente
alert-is-recovery-kit-due = el kit de recuperación no está guardado tal como es ahora
alert-over-recovery-kit-due = el kit de recuperación está guardado
alert-do-recovery-kit-due = Imprimir o guardar el kit de recuperación: es lo que trae todo de vuelta después de una pérdida.
alert-kind-recovery-hold = En espera tras una recuperación
alert-is-recovery-hold = el catálogo se reconstruyó y espera confirmación
alert-over-recovery-hold = las programaciones y la retención siguen
alert-do-recovery-hold = Ver si todo está como debe, y confirmarlo en los ajustes de recuperación.
alert-kind-fires-missed = Ejecuciones programadas perdidas
alert-is-fires-missed = se perdieron ejecuciones programadas
alert-do-fires-missed = Una ejecución las recupera. Ver que este servidor no esté apagado a esas horas.
alert-kind-clock-skew = Salto del reloj
alert-is-clock-skew = el reloj saltó
alert-do-clock-skew = Revisar la hora de este servidor. Si es correcta, aceptarla: la retención espera hasta entonces.
alert-kind-uncovered = Sin proteger
alert-is-uncovered = algo de aquí no está en ninguna app
alert-do-uncovered = Abrir Cobertura: agregarlo a una app, o decir por qué no necesita respaldo.
alert-kind-not-put-back = No devuelto a su lugar
alert-is-not-put-back = algo no se pudo devolver a su lugar tras una ejecución
alert-do-not-put-back = Revisar los contenedores y carpetas que nombra la ejecución: alguno puede seguir detenido.
alert-kind-config-rejected = backups.yml rechazado
alert-is-config-rejected = no se puede usar backups.yml
alert-do-config-rejected = Sigue vigente lo que declaraba antes. Corregir el archivo; el mensaje dice dónde.
alert-kind-labels-refused = Etiquetas rechazadas
alert-is-labels-refused = se rechazaron etiquetas de un contenedor
alert-do-labels-refused = Corregir las etiquetas; el mensaje dice cuáles.

# Páginas
nav-alerts = Alertas
alerts-open = Abiertas ahora
alerts-open-none = No hay nada mal que las alertas conozcan.
alerts-over = Resueltas
alerts-more = Todas las que hubo
alerts-all = Alertas, abiertas y resueltas
alerts-nobody = Todavía no se avisa a nadie: al agregar un canal, lo que salga mal llega a quien corresponda.
alerts-no-route = Ninguna ruta lleva todavía a un canal: no se envía nada.
alerts-sent = Enviados
alerts-sent-none = Todavía no se envió ningún mensaje.
alerts-channels = Canales
alerts-channels-none = Todavía no hay ningún canal.
alerts-routes = Rutas
alerts-routes-text = Un canal recibe una alerta por la primera ruta de aquí que le corresponda y lleve a él.
alerts-routes-none = Todavía no hay ninguna ruta.
alert-state-over = resuelta
alert-state-withdrawn = ya no se vigila
alert-state-told = anotada
severity-info = Información
severity-warning = Advertencia
severity-error = Error
delivery-held = espera su hora
delivery-queued = espera
delivery-sent = enviado
delivery-failed = abandonado
delivery-tries = { $count ->
    [one] 1 intento
   *[other] { $count } intentos
  }
delivery-next = próximo intento { $when }
delivery-until = sale { $when }
change-opened = empezó
change-lasts = sigue
change-closed = resuelta
channel-kind-email = Correo electrónico
channel-kind-telegram = Telegram
channel-kind-webhook = Webhook
channel-kind-ntfy = ntfy
channel-kind-slack = Slack
channel-kind-discord = Discord
channel-kind-gotify = Gotify
channel-kind-healthchecks = Healthchecks
channel-text-email = Por un servidor de correo, a una o varias personas.
channel-text-telegram = Un bot escribe en un chat, un grupo o un canal.
channel-text-webhook = JSON a una dirección propia, firmado.
channel-text-ntfy = Un tema de ntfy.sh o de un servidor propio.
channel-text-slack = Slack, Mattermost y lo que acepte los mismos webhooks.
channel-text-discord = Un webhook de un canal.
channel-text-gotify = Una aplicación de un servidor Gotify propio.
channel-text-healthchecks = Una comprobación que falla mientras algo está mal, y que nota si este servidor se queda callado.
channel-add = Agregar canal
channel-edit-title = Editar { $name }
channel-test = Enviar prueba
channel-tested = aceptó un mensaje
channel-untested = sin probar
channel-problem = tiene un problema
channel-off = apagado
channel-last-try = Último intento
channel-enabled = Se envían mensajes allí
channel-language = Idioma de sus mensajes
channel-everything = Enviar allí todas las advertencias y errores, de todas las apps
channel-everything-hint = Crea una ruta. Se puede limitar después: por app, por clase, con horas de silencio o como resumen.
channel-remove-means = Se olvida el canal con sus contraseñas y tokens. Ninguna ruta puede llevar a él; lo que aún lo espera se abandona.
channel-in-routes = En rutas
channel-field-host = Servidor de correo
channel-field-port = Puerto
channel-field-encryption = Cifrado
channel-field-username = Usuario
channel-field-password = Contraseña
channel-field-from = De
channel-field-to = Para
channel-field-ca-certificate = Certificado de una autoridad propia
channel-field-token = Token
channel-field-chat-id = ID del chat
channel-field-thread-id = ID del tema
channel-field-api = Servidor de la API de bots
channel-field-url = Dirección
channel-field-secret = Secreto de firma
channel-field-headers = Más encabezados
channel-field-topic = Tema
channel-hint-port = Vacío toma 587 con STARTTLS, 465 con TLS, 25 sin cifrado.
channel-hint-email-from = Por ejemplo Respaldos <respaldos@example.com>.
channel-hint-email-to = Varias direcciones separadas por comas.
channel-hint-ca-certificate = En PEM. Solo para servidores con un certificado que no firmó ninguna autoridad pública.
channel-hint-telegram-token = Como lo da @BotFather. Escribir una vez al bot, o agregarlo al grupo, para que pueda contestar.
channel-hint-telegram-chat-id = Un número, como -1001234567890, o el @nombre de un canal público.
channel-hint-telegram-thread-id = Solo para un grupo con temas.
channel-hint-telegram-api = Solo para un servidor propio de la API de bots.
channel-hint-webhook-url = Donde tenga {"{"}token{"}"}, allí va el token; entonces no se muestra.
channel-hint-webhook-token = Se envía como Authorization: Bearer.
channel-hint-webhook-secret = Los mensajes se firman entonces como los de Standard Webhooks (HMAC-SHA256).
channel-hint-webhook-headers = Líneas de Nombre: valor.
channel-hint-ntfy-url = Vacío toma https://ntfy.sh.
channel-hint-ntfy-topic = En un servidor público quien conozca el tema puede leerlo: elegir uno que nadie adivine.
channel-hint-slack-url = La dirección del webhook entrante. Es un secreto y se guarda como tal.
channel-hint-discord-url = En los ajustes del canal, en Integraciones, Webhooks. Es un secreto y se guarda como tal.
channel-hint-gotify-url = Por ejemplo https://push.example.com.
channel-hint-gotify-token = De una aplicación, no de un cliente.
channel-hint-healthchecks-url = La dirección de ping de la comprobación. Se llama cada hora: elegir un período de una hora y otra de gracia. Se guarda como secreto.
channel-choice-starttls = STARTTLS
channel-choice-tls = TLS desde el principio
channel-choice-none = Ninguno
route-add = Agregar ruta
route-edit-title = Editar { $name }
route-remove-means = Nada va más por aquí. Lo que retenía sale.
route-channels = Canales
route-no-channels = Primero agregar un canal.
route-apps = Apps
route-apps-all = todas las apps
route-apps-hint = Ninguna marcada son todas, también las que vengan, y lo que no es de ninguna app.
route-app-gone = quitada
route-kinds = Para qué
route-kinds-all = todo
route-kinds-hint = Ninguna marcada es todo.
route-least = Importancia mínima
route-least-info = todo, también lo que solo es bueno saber
route-least-warning = advertencias y errores
route-least-error = solo errores
route-recoveries = Avisar cuando se resuelve
route-remind = Recordar cada tantas horas mientras dure
route-remind-hint = Vacío avisa una vez.
route-reminds = { $count ->
    [one] recuerda cada hora
   *[other] recuerda cada { $count } horas
  }
route-when-more = Cuándo: horas de silencio, resúmenes, recordatorios
route-quiet-from = Silencio desde
route-quiet-to = Silencio hasta
route-quiet-hint = Los mensajes esperan a que terminen, y salen en uno solo. Las dos vacías: sin horas de silencio.
route-urgent = Los errores no esperan
route-digest = Juntar mensajes
route-digest-none = No: cada uno sale por su cuenta
route-digest-daily = Una vez al día
route-digest-weekly = Una vez por semana, los lunes
route-digest-hour = Hora a la que salen
route-zone = Zona horaria
route-zone-hint = Qué reloj siguen las horas de silencio y los resúmenes.
route-position = Orden
route-position-hint = Las rutas se miran desde el número más bajo.
route-enabled = Esta ruta está en uso
route-off = apagada
route-quiet-told = silencio { $from }–{ $to } { $zone }
route-digest-daily-told = cada día a las { $hour }:00 { $zone }
route-digest-weekly-told = los lunes a las { $hour }:00 { $zone }
usual-title = Lo habitual
usual-learning = Aprendiendo: { $learned } de { $needed } instantáneas. Hasta entonces solo se juzgan los tamaños.
usual-learned = Se juzga por la mediana de las últimas { $needed } instantáneas buenas.
usual-size = Tamaño
usual-duration = Duración
usual-files = Archivos
done-channel-removed = Se quitó el canal.
done-route-removed = Se quitó la ruta.
