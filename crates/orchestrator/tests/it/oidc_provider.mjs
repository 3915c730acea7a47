// A login service for the tests: the package oidc-provider, whose people log in without being
// asked. Arguments: the package's main file, the port, where it may lead back to.
import { pathToFileURL } from 'node:url';

const [module, port, back] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(module));
const people = new Map();
let present = '';

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'backups',
    client_secret: 'the-secret-of-the-client',
    redirect_uris: [back],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'groups'],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...people.get(id) }),
  }),
  async loadExistingGrant(ctx) {
    const { client, session } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid profile groups');
    await grant.save();
    return grant;
  },
});

provider.use(async (ctx, next) => {
  if (ctx.path === '/be') {
    const { sub, name, groups } = ctx.query;
    present = sub;
    people.set(sub, { preferred_username: name, groups: groups ? groups.split(',') : [] });
    ctx.body = 'ok';
  } else if (ctx.path.startsWith('/interaction/')) {
    ctx.respond = false;
    const result = present ? { login: { accountId: present } } : { error: 'access_denied' };
    await provider.interactionFinished(ctx.req, ctx.res, result);
  } else {
    await next();
  }
});

provider.listen(Number(port), '127.0.0.1');
