"""A mail server that keeps what it is given: smtpd.py PORT FOLDER plain|starttls|tls CERT KEY.

One file of JSON for each mail. A password is asked for where there is encryption. Ends with its
standard input.
"""

import itertools
import json
import pathlib
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

PORT, FOLDER, MODE, CERT, KEY = sys.argv[1:]
numbers = itertools.count()


class Keep:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("later@"):
            return "451 4.3.0 come back later"
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "encrypted": MODE == "tls" or session.ssl is not None,
            "login": (session.auth_data or b"").decode(),
            "data": envelope.content.decode("utf-8", "replace"),
        }
        name = pathlib.Path(FOLDER) / f"{next(numbers)}.json"
        part = name.with_suffix(".part")
        part.write_text(json.dumps(mail))
        part.rename(name)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"backups" and data.password == b"open-sesame"
    return AuthResult(success=good, handled=False, auth_data=data.login)


context = None
if MODE != "plain":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT, KEY)
options = {}
if MODE == "starttls":
    options = {"tls_context": context, "require_starttls": True, "auth_required": True}
if MODE == "tls":
    options = {"ssl_context": context, "auth_required": True, "auth_require_tls": False}
if MODE != "plain":
    options["authenticator"] = authenticate
server = Controller(Keep(), hostname="127.0.0.1", port=int(PORT), ready_timeout=30, **options)
server.start()
print("ready", flush=True)
sys.stdin.read()
server.stop()
