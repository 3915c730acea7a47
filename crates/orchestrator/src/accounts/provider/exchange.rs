//! What is said to the service that logs people in, and what it answers.

use axum::http;
use chrono::{DateTime, Utc};
use jiff::Timestamp;
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode, Client,
    ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType,
        CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm as Alg, CoreProviderMetadata, CoreResponseType, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ProviderRefused;
use crate::settings::OidcSettings;

/// How long the service may take for one answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// Signatures that only the service can make: neither none, nor one with a secret that we have.
const SIGNATURES: [Alg; 9] = [
    Alg::RsaSsaPkcs1V15Sha256,
    Alg::RsaSsaPkcs1V15Sha384,
    Alg::RsaSsaPkcs1V15Sha512,
    Alg::RsaSsaPssSha256,
    Alg::RsaSsaPssSha384,
    Alg::RsaSsaPssSha512,
    Alg::EcdsaP256Sha256,
    Alg::EcdsaP384Sha384,
    Alg::EdDsa,
];
/// Where it leads back to.
const CALLBACK: &str = "/login/oidc/callback";

/// Claims that the protocol does not name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Rest {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Rest {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        Rest,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        Alg,
    >,
    CoreTokenType,
>;

type Known = Client<
    Rest,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What binds a question to its answer; all of it is random.
pub(super) struct Secrets<'a> {
    pub(super) state: &'a str,
    pub(super) nonce: &'a str,
    pub(super) verifier: &'a str,
}

/// Who somebody is, as the service says.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) subject: String,
    /// What they are called there, the best first.
    pub(super) names: Vec<String>,
    /// The values of the claim with their roles.
    pub(super) roles: Vec<String>,
}

/// A request that had no answer.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Form(#[from] http::Error),
    #[error("its answer is too long")]
    TooLong,
}

async fn fetch(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, Lost> {
    let told = |error: reqwest::Error| Lost::Http(error.without_url());
    let request = reqwest::Request::try_from(request).map_err(told)?;
    let mut response = http.execute(request).await.map_err(told)?;
    let mut answer = http::Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Lost::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer.body(body)?)
}

/// The service, asked anew for what it is and which keys it signs with.
pub(super) struct Service<'a> {
    settings: &'a OidcSettings,
    http: reqwest::Client,
    client: Known,
}

impl<'a> Service<'a> {
    pub(super) async fn find(settings: &'a OidcSettings) -> Result<Self, ProviderRefused> {
        let lost = |error: &dyn std::error::Error| ProviderRefused::Unreachable(chain(error));
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| lost(&error))?;
        let issuer = IssuerUrl::new(settings.issuer.clone()).map_err(|error| lost(&error))?;
        let ask = |request| fetch(http.clone(), request);
        let metadata = CoreProviderMetadata::discover_async(issuer, &ask)
            .await
            .map_err(|error| lost(&error))?;
        // Basic is what every service takes by default; some say that they take the other alone.
        let by_form = metadata.token_endpoint_auth_methods_supported().is_some_and(|methods| {
            !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
                && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
        });
        let back = RedirectUrl::new(format!("{}{CALLBACK}", settings.public_url))
            .map_err(|error| lost(&error))?;
        let secret = settings.client_secret.as_ref();
        let client = Known::from_provider_metadata(
            metadata,
            ClientId::new(settings.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.expose_secret().to_owned())),
        )
        .set_redirect_uri(back)
        .set_auth_type(if by_form { AuthType::RequestBody } else { AuthType::BasicAuth });
        Ok(Self { settings, http, client })
    }

    /// Where a browser is sent.
    pub(super) fn question(&self, secrets: &Secrets<'_>) -> String {
        let verifier = PkceCodeVerifier::new(secrets.verifier.to_owned());
        let (state, nonce) = (secrets.state.to_owned(), secrets.nonce.to_owned());
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (url, _, _) = self
            .client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .add_scopes(scopes)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        url.to_string()
    }

    /// Makes a code of the service a person. Issuer, audience, signature, times and nonce of what
    /// it says are checked.
    pub(super) async fn person(
        &self,
        code: SecretString,
        secrets: &Secrets<'_>,
        now: Timestamp,
    ) -> Result<Proven, ProviderRefused> {
        let ask = |request| fetch(self.http.clone(), request);
        let tokens = self
            .client
            .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
            .map_err(|error| ProviderRefused::Unreachable(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier.to_owned()))
            .request_async(&ask)
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(said) => {
                    ProviderRefused::Said(said.error().to_string())
                }
                error => ProviderRefused::Unreachable(chain(&error)),
            })?;
        let wrong = |why: &dyn std::error::Error| ProviderRefused::Wrong(chain(why));
        let moment = DateTime::<Utc>::from_timestamp(now.as_second(), 0).unwrap_or_default();
        let verifier = self
            .client
            .id_token_verifier()
            .set_allowed_algs(SIGNATURES)
            .set_time_fn(move || moment);
        let Some(token) = tokens.id_token() else {
            return Err(ProviderRefused::Wrong("there is none".to_owned()));
        };
        let nonce = Nonce::new(secrets.nonce.to_owned());
        let claims = token.claims(&verifier, &nonce).map_err(|error| wrong(&error))?;
        if let Some(expected) = claims.access_token_hash() {
            let alg = token.signing_alg().map_err(|error| wrong(&error))?;
            let key = token.signing_key(&verifier).map_err(|error| wrong(&error))?;
            let actual = AccessTokenHash::from_token(tokens.access_token(), alg, key)
                .map_err(|error| wrong(&error))?;
            if actual != *expected {
                let why = "it belongs to another access token";
                return Err(ProviderRefused::Wrong(why.to_owned()));
            }
        }
        let mut rest = claims.additional_claims().clone();
        let username = claims.preferred_username().map(|name| name.to_string());
        let email = claims.email().map(|email| email.to_string());
        let mut names: Vec<_> = username.into_iter().chain(email).collect();
        let has_roles =
            self.settings.role_claim.as_ref().is_none_or(|path| find(&rest.all, path).is_some());
        // Some say who somebody is in the token, some only where they are asked.
        if (names.is_empty() || !has_roles)
            && let Ok(request) =
                self.client.user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        {
            let told: UserInfoClaims<Rest, CoreGenderClaim> = request
                .request_async(&ask)
                .await
                .map_err(|error| ProviderRefused::Unreachable(chain(&error)))?;
            let username = told.preferred_username().map(|name| name.to_string());
            let email = told.email().map(|email| email.to_string());
            names.extend(username.into_iter().chain(email));
            rest.all.extend(told.additional_claims().all.clone());
        }
        let claim = self.settings.role_claim.as_ref().and_then(|path| find(&rest.all, path));
        let roles = match claim {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(all)) => {
                all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Ok(Proven { subject: claims.subject().to_string(), names, roles })
    }
}

/// A claim by its name, or within objects by names with dots between.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(path) {
        return Some(found);
    }
    let (first, rest) = path.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_name_and_within_objects() {
        let claims = json!({
            "groups": ["a"], "https://example.com/roles": "b", "realm_access": { "roles": ["c"] },
        });
        let claims = claims.as_object().unwrap();
        assert_eq!(find(claims, "groups"), Some(&json!(["a"])));
        assert_eq!(find(claims, "https://example.com/roles"), Some(&json!("b")));
        assert_eq!(find(claims, "realm_access.roles"), Some(&json!(["c"])));
        for absent in ["roles", "groups.x", "realm_access.roles.x", ""] {
            assert_eq!(find(claims, absent), None, "{absent}");
        }
    }
}
